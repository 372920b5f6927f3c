//! See `metrics_apiserver::fuzzing::response`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metrics_apiserver::fuzzing::response(data));
