use proptest::prelude::*;

use super::parse::ParseSelectorError;
use super::*;

fn selector(text: &str) -> Selector {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn every_form_of_the_grammar_is_read_and_printed_as_client_go_prints_it() {
    for (written, printed) in [
        ("", ""),
        (" \t\r\n", ""),
        ("a=b", "a=b"),
        ("a==b", "a=b"),
        ("a = b", "a=b"),
        ("a=", "a="),
        ("a=,b=c", "a=,b=c"),
        ("a!=b", "a!=b"),
        ("a!=", "a!="),
        ("a in (b)", "a in (b)"),
        ("a in(c,b,c)", "a in (b,c)"),
        ("a in ()", "a in ()"),
        ("a in (,)", "a in ()"),
        ("a in (x,,y)", "a in (,x,y)"),
        ("a notin ( b )", "a notin (b)"),
        ("a", "a"),
        ("!a", "!a"),
        ("! a", "!a"),
        ("a>1", "a>1"),
        ("a<007", "a<7"),
        ("z,a,!m", "a,!m,z"),
        ("in", "in"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("notin=in", "notin=in"),
        ("app.kubernetes.io/name=x", "app.kubernetes.io/name=x"),
        (
            "app=x,env in (dev,prod),nn notin (q),queue=a-b,tt,!z",
            "app=x,env in (dev,prod),nn notin (q),queue=a-b,tt,!z",
        ),
    ] {
        assert_eq!(selector(written).to_string(), printed, "{written:?}");
    }
}

#[test]
fn an_error_says_where_and_what() {
    for (written, position, found) in [
        ("a,", 2, "the end"),
        (",a", 0, "\",\""),
        ("a,,b", 2, "\",\""),
        ("=b", 0, "\"=\""),
        ("a b", 2, "\"b\""),
        ("a=b c", 4, "\"c\""),
        ("a in b", 5, "\"b\""),
        ("a in (b", 7, "the end"),
        ("a in (b c)", 8, "\"c\""),
        ("a in (b=)", 7, "\"=\""),
        ("!a=b", 2, "\"=\""),
        ("!", 1, "the end"),
        ("!!a", 1, "\"!\""),
        ("a=!b", 2, "\"!\""),
        ("a===b", 3, "\"=\""),
        ("a>=1", 2, "\"=\""),
        ("a=in (b)", 5, "\"(\""),
        ("a)", 1, "\")\""),
    ] {
        let Err(ParseSelectorError::Unexpected { position: at, found: what, .. }) =
            written.parse::<Selector>()
        else {
            panic!("{written:?} should be a syntax error")
        };
        assert_eq!((at, what.as_str()), (position, found), "{written:?}");
    }
}

#[test]
fn keys_and_values_are_checked_as_kubernetes_checks_them() {
    let long = "a".repeat(64);
    for key in [
        "a/b/c",
        "/a",
        "a/",
        "-a",
        "a-",
        "_a",
        "A/b",
        "a..b/c",
        &long,
        "a\"b",
        "é",
        &format!("{long}/{long}"),
    ] {
        assert!(matches!(key.parse::<Selector>(), Err(ParseSelectorError::Key { position: 0, .. })), "{key}");
    }
    for value in ["-a", "a/b", "a\"", "é", "a}", &long] {
        let error = format!("k={value}").parse::<Selector>();
        assert!(matches!(error, Err(ParseSelectorError::Value { position: 2, .. })), "{value}");
        let error = format!("k in (a,{value})").parse::<Selector>();
        assert!(matches!(error, Err(ParseSelectorError::Value { position: 8, .. })), "{value}");
    }
    for bound in ["", "a", "1.5", "9223372036854775808"] {
        let error = format!("k>{bound}").parse::<Selector>();
        assert!(matches!(error, Err(ParseSelectorError::NotAnInteger { position: 2, .. })), "{bound}");
    }
}

#[test]
fn length_and_number_of_requirements_are_bounded() {
    assert!(matches!(" ".repeat(8 * 1024 + 1).parse::<Selector>(), Err(ParseSelectorError::TooLong(8193))));
    let many =
        |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>().join(",").parse::<Selector>();
    assert_eq!(many(64).unwrap().requirements().len(), 64);
    assert!(matches!(many(65), Err(ParseSelectorError::TooMany)));
}

fn requirement() -> impl Strategy<Value = String> {
    let key = "(([a-z0-9]{1,5}\\.)?[a-z]{1,5}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?";
    let value = "([A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?)?";
    let list = proptest::collection::vec(value, 0..4).prop_map(|values| values.join(" ,"));
    (key, value, list, 0_i64.., 0..8).prop_map(|(key, value, list, bound, form)| match form {
        0 => format!("{key}={value}"),
        1 => format!(" {key} == {value} "),
        2 => format!("{key} != {value}"),
        3 => format!("{key} in ({list})"),
        4 => format!("{key} notin({list} )"),
        5 => format!("{key}>{bound}"),
        6 => format!("{key} < {bound}"),
        _ => format!("!{key}"),
    })
}

proptest! {
    #[test]
    fn reading_what_was_printed_is_the_identity(requirements in proptest::collection::vec(requirement(), 0..6)) {
        let parsed = selector(&requirements.join(","));
        prop_assert_eq!(parsed.requirements().len(), requirements.len());
        prop_assert_eq!(&selector(&parsed.to_string()), &parsed);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a=!<>(), \\PC\u{0}\t\n]{0,40}|(a|in|notin|,|=|!|\\(|\\)| ){0,20}") {
        if let Ok(parsed) = text.parse::<Selector>() {
            prop_assert_eq!(&selector(&parsed.to_string()), &parsed);
        }
    }
}

#[test]
fn objects_are_selected_by_their_labels_as_in_apimachinery() {
    let labels = [("app", "web"), ("size", "3"), ("word", "x")].into_iter().collect();
    for (text, expected) in [
        ("", true),
        ("app=web", true),
        ("app=api", false),
        ("missing=web", false),
        ("app!=api", true),
        ("app!=web", false),
        ("missing!=web", true),
        ("app in (api,web)", true),
        ("app in (api)", false),
        ("app notin (api)", true),
        ("app notin (api,web)", false),
        ("missing notin (web)", true),
        ("app", true),
        ("missing", false),
        ("!missing", true),
        ("!app", false),
        ("size>2", true),
        ("size>3", false),
        ("size<4", true),
        ("word>2", false),
        ("missing<9", false),
        ("app=web,size<3", false),
    ] {
        assert_eq!(selector(text).matches(&labels), expected, "{text}");
    }
}
