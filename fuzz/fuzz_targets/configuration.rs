//! See `metrics_apiserver::fuzzing::configuration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::configuration(data));
