//! Fuzzes [`metrics_apiserver::fuzzing::headers`], which says what the target checks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::headers(data));
