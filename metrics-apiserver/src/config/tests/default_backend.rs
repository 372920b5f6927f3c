//! The backend that flags define, beside the backends of a file.

use super::*;
use crate::backend;

fn flags(is_given: bool) -> DefaultBackend {
    let url = BaseUrl::parse("https://flags", "/api/v1").unwrap();
    DefaultBackend { options: backend::Options::new(vec![url]), is_given }
}

fn with_flags(text: &str, is_given: bool) -> Result<Config, Problems> {
    let source = Source::new("config.yaml", text);
    check_with(source, Some(&flags(is_given))).map(|checked| checked.config().clone())
}

#[test]
fn it_is_used_by_metrics_that_name_no_backend() {
    let text = "metrics: [{name: m, query: up}]\n";
    let config = with_flags(text, true).unwrap();
    let urls: Vec<_> =
        config.backends.iter().map(|(name, backend)| (&*name.0, backend.urls[0].as_str())).collect();
    assert_eq!(urls, [("default", "https://flags")]);
    assert_eq!(config.warnings, [""; 0]);
    let errors = with_flags(text, false).unwrap_err().to_string();
    assert!(errors.contains("backend"), "without flags there is none for metrics: {errors}");
}

#[test]
fn it_stands_beside_the_other_backends_of_the_file() {
    let text = "backends: {other: {url: 'http://o'}}\n\
                metrics: [{name: m, query: up}, {name: n, query: up, backend: other}]\n";
    assert_eq!(with_flags(text, true).unwrap().backends.len(), 2);
}

#[test]
fn it_must_not_be_in_the_file_as_well() {
    let text = "backends: {default: {url: 'http://file'}}\nmetrics: [{name: m, query: up}]\n";
    let errors = with_flags(text, true).unwrap_err();
    let expected = "1:12 backends.default: backend `default` is defined here and by --prometheus-* flags";
    assert_eq!(listed(&errors), [expected]);
    assert!(errors.to_string().contains("remove it here, or remove these flags"), "{errors}");
    let config = with_flags(text, false).unwrap();
    assert_eq!(config.backends[0].1.urls[0].as_str(), "http://file");
}

#[test]
fn a_backend_whose_server_is_not_verified_is_warned_about() {
    let mut default = flags(true);
    default.options.insecure_skip_tls_verify = true;
    let source = Source::new("config.yaml", "metrics: [{name: m, query: up}]\n");
    let checked = check_with(source, Some(&default)).unwrap();
    let warnings = &checked.config().warnings;
    assert!(warnings[0].contains("backend `default` does not verify the server certificate"), "{warnings:?}");
}
