//! Fuzzes [`metrics_apiserver::fuzzing::injection`], which says what the target checks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::injection(data));
