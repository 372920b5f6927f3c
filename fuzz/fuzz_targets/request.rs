//! Fuzzes [`metrics_apiserver::fuzzing::request`], which says what the target checks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::request(data));
