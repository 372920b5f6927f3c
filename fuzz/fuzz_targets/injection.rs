//! See `metrics_apiserver::fuzzing::injection`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::injection(data));
