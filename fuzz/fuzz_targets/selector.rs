//! See `metrics_apiserver::fuzzing::selector`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::selector(data));
