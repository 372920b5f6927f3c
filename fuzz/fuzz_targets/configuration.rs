//! Fuzzes [`metrics_apiserver::fuzzing::configuration`], which says what the target checks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::configuration(data));
