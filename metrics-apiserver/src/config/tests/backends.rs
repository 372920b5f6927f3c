//! The keys of a backend that say how it is reached, and what is sent with each query.

use super::*;
use crate::backend::ServerName;

/// The options of the backend with these keys.
fn options(keys: &str) -> crate::backend::Options {
    good(&backend(keys)).backends.remove(0).1
}

#[test]
fn values_of_parameters_may_be_numbers_booleans_and_lists() {
    let options = options(
        "    queryParameters:\n      dedup: true\n      nocache: 1\n      latency_offset: 1s\n      \
         extra_filters[]: ['{a=\"b\"}', '{namespace=\"$namespace\"}']\n",
    );
    let found: Vec<_> = options.parameters.iter().map(|(name, text)| (&**name, text.clone())).collect();
    let text = |text| NamespacedText::parse(text).unwrap();
    let expected = [
        ("dedup", text("true")),
        ("nocache", text("1")),
        ("latency_offset", text("1s")),
        ("extra_filters[]", text("{a=\"b\"}")),
        ("extra_filters[]", text("{namespace=\"$namespace\"}")),
    ];
    assert_eq!(found, expected);
    assert!(options.needs_namespace());
}

#[test]
fn a_wrong_parameter_or_placeholder_gives_one_problem() {
    let parameters = |text: &str| backend(&format!("    queryParameters: {text}\n"));
    for (text, place, message, help) in [
        (parameters("{query: up}"), "5:23", "`query` is reserved: the server sends the query", "remove it"),
        (parameters("{time: 1}"), "5:23", "evaluated at the current time", ""),
        (parameters("{timeout: 1s}"), "5:23", "what is left of the backend's `timeout`", ""),
        (parameters("{'match[]': up}"), "5:23", "the `seriesQuery` of each rule", ""),
        (parameters("{start: 1}"), "5:23", "when a list of series begins", ""),
        (parameters("{end: 1}"), "5:23", "ends at the current time", ""),
        (parameters("{'a b': 1}"), "5:23", "must be visible ASCII", ""),
        (parameters("{a: {b: c}}"), "5:26", "expected a string", ""),
        (parameters("{a: \"b\\nc\"}"), "5:26", "no control characters", ""),
        (parameters("{a: '${namespace}'}"), "5:26", "write `$namespace`", ""),
        (parameters("{a: [b, $namespaces]}"), "5:30", "must not be followed by", ""),
        (parameters("[a]"), "5:22", "expected a mapping", ""),
        (backend("    headers: {X-Scope-OrgID: 'a-${namespace}'}\n"), "5:30", "write `$namespace`", ""),
    ] {
        one_problem(&text, place, message, help);
    }
    let many: Vec<_> = (0..33).map(|number| format!("p{number}: x")).collect();
    one_problem(&parameters(&format!("{{{}}}", many.join(", "))), "5:22", "more than 32 values", "");
    one_problem(&parameters(&format!("{{a: {}}}", "x".repeat(513))), "5:26", "at most 512 bytes", "");
}

#[test]
fn a_misspelt_placeholder_is_warned_about_and_not_shown() {
    let keys = "    headers: {X-Scope-OrgID: team-$ns, X-Key: $namespace}\n    \
                queryParameters: {a: [\"${Namespace}\", $s3cret], b: '{x=~\"y$\"}'}\n";
    let expected = ["header `x-scope-orgid`", "query parameter `a`"].map(|value| {
        format!("backend `default`: {value} has a `$` that is sent as it is: only `$namespace` is replaced")
    });
    assert_eq!(good(&backend(keys)).warnings, expected);
}

#[test]
fn metrics_of_a_backend_that_is_told_the_namespace_tell_it() {
    for key in ["queryParameters: {namespace: $namespace}", "headers: {X-Scope-OrgID: $namespace}"] {
        assert!(good(&backend(&format!("    {key}\n"))).rules[0].tells_namespace, "{key}");
    }
    assert!(!good(&backend("    queryParameters: {dedup: true}\n")).rules[0].tells_namespace);
}

#[test]
fn rules_that_read_all_namespaces_cannot_use_a_backend_that_answers_for_one() {
    let told = backend("    queryParameters: {namespace: $namespace}\n");
    let rule = "- {seriesQuery: up, resources: {template: '<<.Resource>>'}, metricsQuery: '<<.Series>>'}\n";
    for (section, place, why) in [
        (format!("rules:\n{rule}"), "7:3", "series are discovered in all"),
        (format!("externalRules:\n{rule}"), "7:3", "series are discovered in all"),
        ("resourceRules: {window: 5m}\n".to_owned(), "6:1", "nodes are in none"),
    ] {
        let message = format!("backend `default` answers for one namespace (`$namespace`), but {why}");
        one_problem(&format!("{told}{section}"), place, &message, "`metrics` instead");
    }
}

#[test]
fn a_server_name_is_a_host_or_a_spiffe_id() {
    let id = "spiffe://cluster.local/ns/monitoring/sa/prometheus";
    for name in ["prometheus.example", "10.0.0.1", id] {
        let keys = format!("    caFile: /ca\n    serverName: {name}\n");
        assert_eq!(options(&keys).server_name, ServerName::parse(name).ok());
    }
    for (keys, place, message, help) in [
        ("    caFile: /ca\n    serverName: a b\n", "6:17", "not a valid server name", ""),
        ("    caFile: /ca\n    serverName: spiffe://a:1/b\n", "6:17", "not a valid SPIFFE ID", ""),
        ("    serverName: p\n", "5:5", "`caFile` is missing", "add the CA"),
        (
            "    serverName: p\n    insecureSkipTLSVerify: true\n",
            "5:5",
            "accepts every server certificate",
            "keep one",
        ),
        ("    caFile: /ca\n    insecureSkipTLSVerify: true\n", "5:5", "accepts every server", "keep one"),
        (
            "    caFile: /ca\n    serverName: p\n    proxyUrl: https://proxy\n",
            "7:15",
            "the proxy's included",
            "socks5",
        ),
        ("  plain: {url: http://p, serverName: p}\n", "5:38", "has no effect", "https"),
        ("  plain: {url: http://p, insecureSkipTLSVerify: true}\n", "5:49", "has no effect", "https"),
    ] {
        one_problem(&backend(keys), place, message, help);
    }
    good(&backend(
        "    caFile: /ca\n    serverName: p\n    insecureSkipTLSVerify: false\n    proxyUrl: http://proxy:3128\n",
    ));
}

#[test]
fn skipped_verification_is_warned_about_at_every_start_and_reload() {
    let config = good(&backend("    insecureSkipTLSVerify: true\n"));
    let [warning] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    assert!(warning.contains("`default` does not verify the server certificate"), "{warning}");
}

#[test]
fn a_wrong_proxy_gives_one_problem_that_does_not_show_its_password() {
    for (url, message) in [
        ("proxy:3128", "must begin with http://"),
        ("ftp://user:hunter2@proxy", "must begin with http://"),
        ("http://user:hunter2@", "is not valid"),
        ("http://user:hunter2@proxy/path", "no path"),
    ] {
        let text = backend(&format!("    proxyUrl: {url}\n"));
        one_problem(&text, "5:15", message, "");
        assert!(!bad(&text).to_string().contains("hunter2"), "{url}");
    }
}
