use super::*;

fn regex(text: &str) -> GoRegex {
    GoRegex::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_search_is_not_anchored() {
    assert!(regex("total").is_match("http_requests_total_x"));
    assert!(!regex("^total").is_match("http_total"));
    assert!(regex("").is_match("") && regex(".*_total$").is_match("a_total"));
}

#[test]
fn perl_classes_are_ascii() {
    for (text, character) in [("\\d", "٣"), ("\\w", "é"), ("\\s", "\u{a0}"), ("\\s", "\u{b}")] {
        assert!(!regex(text).is_match(character), "{text} {character}");
        assert!(!regex(&format!("[{text}]")).is_match(character), "{text} {character}");
        let negated = text.to_uppercase();
        assert!(regex(&negated).is_match(character) && regex(&format!("[{negated}]")).is_match(character));
    }
    assert!(regex("é\\b").is_match("éa") && !regex("\\bé").is_match(" é"));
    assert!(regex("é\\B").is_match("é "));
}

#[test]
fn a_brace_that_is_no_repetition_is_a_literal() {
    for text in ["a{", "{foo", "x{,5}", "a{1", "a{01}", "{}", "a{1,b}", "{{.X}}", "a}"] {
        assert!(regex(text).is_match(text), "{text}");
    }
    assert!(regex("^a{2,3}$").is_match("aaa") && !regex("^a{2}$").is_match("a"));
    for text in ["a{1001}", "a{2,1}", "a{1,99999999999}"] {
        assert!(GoRegex::parse(text).unwrap_err().message.contains("not a repetition"), "{text}");
    }
}

#[test]
fn quoted_text_is_literal() {
    assert!(regex("^\\Qa.b*\\E+$").is_match("a.b**") && !regex("^\\Qa.b\\E$").is_match("axb"));
    assert!(regex("\\Q[").is_match("[") && regex("a\\Q\\Eb").is_match("ab"));
}

#[test]
fn classes_have_no_operators() {
    for (text, matched, not) in [
        ("^[[]$", "[", "x"),
        ("^[a&&b]$", "&", "c"),
        ("^[+--]$", ",", "a"),
        ("^[~~]$", "~", "c"),
        ("^[]a]$", "]", "c"),
        ("^[^]a]$", "c", "]"),
        ("^[a-]$", "-", "b"),
        ("^[-a]$", "-", "b"),
        ("^[[:word:]]$", "_", "é"),
        ("^[[:^alpha:]]$", "1", "a"),
        ("^[\\d\\-x]$", "-", "a"),
        ("^[\\pL0]$", "é", "1"),
        ("^[\\P{L}]$", "1", "é"),
        ("^[[:foo]+$", ":[f", "x"),
    ] {
        assert!(regex(text).is_match(matched), "{text} {matched}");
        assert!(!regex(text).is_match(not), "{text} {not}");
    }
    assert!(GoRegex::parse("[[:foo:]]").is_err() && GoRegex::parse("[z-a]").is_err());
}

#[test]
fn what_go_does_not_have_is_refused_with_its_name() {
    for (text, position, words) in [
        ("a(?=b)", 1, "look-around"),
        ("(?<!a)b", 0, "look-around"),
        ("(a)\\1", 3, "back references"),
        ("a\\Z", 1, "\\Z"),
        ("\\C", 0, "single byte"),
        ("a\\y", 1, "no escape \\y"),
        ("a)", 1, "no '('"),
        ("x(a", 1, "not closed"),
        ("x[a", 1, "not closed"),
        ("a**", 2, "another repetition"),
        ("*a", 0, "nothing before"),
        ("(|+)", 2, "nothing before"),
        ("(?P<a-b>x)", 0, "expected a name"),
        ("(?x)a", 0, "expected flags"),
        ("(?i-)a", 0, "expected flags"),
        ("a\\", 1, "single backslash"),
    ] {
        let error = GoRegex::parse(text).unwrap_err();
        assert_eq!(error.position, position, "{text}: {error}");
        assert!(error.message.contains(words), "{text}: {error}");
    }
}

#[test]
fn flags_and_groups_are_counted_as_in_go() {
    assert!(regex("(?i)ABC").is_match("xabc") && regex("a(?i:B)c").is_match("abc"));
    assert!(!regex("(?i)a(?-i)B").is_match("ab") && regex("(?ii)A").is_match("a"));
    assert!(regex("(?s)a.b").is_match("a\nb") && !regex("a.b").is_match("a\nb"));
    assert!(regex("(?m)^b$").is_match("a\nb"));
    let groups = regex("(a)(?:b)(?P<c>c)(?<1st>d)");
    assert_eq!(groups.groups(), 3);
    assert_eq!(groups.names().collect::<Vec<_>>(), [("c", 2), ("1st", 3)]);
    assert_eq!(groups.group("xabcd", 2), Some("c"));
    assert_eq!((groups.group("x", 2), regex("a(b)?").group("a", 1)), (None, Some("")));
}

#[test]
fn a_template_is_expanded_as_in_go() {
    let expand = |regex_text: &str, text: &str, template: &str| regex(regex_text).expand(text, template);
    for (template, expected) in [
        ("$1", "http"),
        ("${1}_per_second", "http_per_second"),
        ("$1_per_second", ""),
        ("vllm_$1", "vllm_http"),
        ("$$1", "$1"),
        ("a$", "a$"),
        ("${1", "${1"),
        ("$-", "$-"),
        ("${}", "${}"),
        ("$0", "http_total"),
        ("$01", ""),
        ("$2$9", ""),
        ("${name}", "total"),
        ("<<.Series>>", "<<.Series>>"),
    ] {
        assert_eq!(
            expand("^(.*)_(?P<name>total)$", "http_total", template).as_deref(),
            Some(if template == "$2$9" { "total" } else { expected }),
            "{template}"
        );
    }
    assert_eq!(expand("x", "y", "$0"), None);
    assert_eq!(regex("(a)").missing_groups("$1_x ${1} $2 $0 $$3"), ["1_x", "2"]);
}

#[test]
fn a_hostile_expression_is_refused_soon() {
    for text in ["(".repeat(300), "((a{1000}){1000}){1000}".to_owned(), "x".repeat(20_000), "[".repeat(9000)]
    {
        assert!(GoRegex::parse(&text).is_err(), "{}", text.len());
    }
}
