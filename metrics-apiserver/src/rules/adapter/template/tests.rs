use std::collections::BTreeMap;

use super::*;

fn fields() -> Fields {
    let values = [("namespace", "default"), ("pod", "a|b"), ("app", "")];
    Fields::Query(QueryFields {
        series: "http_requests_total".into(),
        label_matchers: "namespace=\"default\",pod=~\"a|b\"".into(),
        label_values_by_name: values.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        group_by: "pod,container".into(),
        group_by_slice: vec!["pod".into(), "container".into()],
    })
}

fn render(text: &str) -> String {
    Template::parse(text).unwrap().render(&fields()).unwrap()
}

fn parse_error(text: &str) -> TemplateError {
    Template::parse(text).unwrap_err()
}

fn render_error(text: &str) -> TemplateError {
    Template::parse(text).unwrap().render(&fields()).unwrap_err()
}

#[test]
fn the_usual_query_is_rendered() {
    assert_eq!(
        render("sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)"),
        "sum(rate(http_requests_total{namespace=\"default\",pod=~\"a|b\"}[5m])) by (pod,container)"
    );
    assert_eq!(render("a < b << .Series >> c >> d"), "a < b http_requests_total c >> d");
    assert_eq!(render(""), "");
}

#[test]
fn slices_and_maps_are_printed_as_go_prints_them() {
    assert_eq!(render("<<.GroupBySlice>>"), "[pod container]");
    assert_eq!(render("<<.LabelValuesByName>>"), "map[app: namespace:default pod:a|b]");
    assert_eq!(
        render("<<.>>"),
        "{http_requests_total namespace=\"default\",pod=~\"a|b\" map[app: namespace:default pod:a|b] pod,container \
         [pod container]}"
    );
}

#[test]
fn a_key_that_is_missing_is_empty_by_index_and_no_value_as_a_field() {
    assert_eq!(render("x<<index .LabelValuesByName \"none\">>y"), "xy");
    assert_eq!(render("x<<.LabelValuesByName.none>>y"), "x<no value>y");
    assert_eq!(render("<<.LabelValuesByName.pod>>"), "a|b");
    assert_eq!(render("<<.LabelValuesByName.none.what>>"), "<no value>");
}

#[test]
fn trim_markers_need_a_space_beside_them() {
    assert_eq!(render("a \n<<- 1 ->>\t\n b"), "a1b");
    assert_eq!(render("a <<-1>> b"), "a -1 b");
    assert_eq!(render("a <<1 ->> b"), "a 1b");
    assert_eq!(render("a <<- /* why */ ->> b"), "ab");
    assert_eq!(render("a <</* why */>> b"), "a  b");
    assert!(
        parse_error("<< /* why */ >>").message.contains("'/'")
            || parse_error("<< /* why */ >>").position == 3
    );
}

#[test]
fn control_structures_follow_go() {
    assert_eq!(render("<<if .Series>>a<<else>>b<<end>>"), "a");
    assert_eq!(render("<<if 0>>a<<else if \"\">>b<<else if not 1>>c<<else>>d<<end>>"), "d");
    assert_eq!(
        render("<<range $i, $x := .GroupBySlice>><<if $i>>,<<end>><<$i>>=<<$x>><<end>>"),
        "0=pod,1=container"
    );
    assert_eq!(render("<<range .LabelValuesByName>>[<<.>>]<<end>>"), "[][default][a|b]");
    assert_eq!(
        render("<<range $k, $v := .LabelValuesByName>><<$k>>:<<$v>>;<<end>>"),
        "app:;namespace:default;pod:a|b;"
    );
    assert_eq!(render("<<range .LabelValuesByName.none>>a<<else>>b<<end>>"), "b");
    assert_eq!(render("<<range .GroupBySlice>><<.>><<break>><<end>>"), "pod");
    assert_eq!(
        render("<<range .GroupBySlice>><<if eq . \"pod\">><<continue>><<end>><<.>><<end>>"),
        "container"
    );
    assert_eq!(render("<<with index .LabelValuesByName \"pod\">>pod=<<.>><<else>>none<<end>>"), "pod=a|b");
    assert_eq!(render("<<range 3>><<.>><<end>>"), "012");
}

#[test]
fn variables_have_the_scope_of_their_block() {
    assert_eq!(render("<<$x := 1>><<if true>><<$x := 2>><<$x>><<end>><<$x>>"), "21");
    assert_eq!(render("<<$x := 1>><<if true>><<$x = 2>><<$x>><<end>><<$x>>"), "22");
    assert_eq!(
        render("<<range $.GroupBySlice>><<$.Series>>;<<end>>"),
        "http_requests_total;http_requests_total;"
    );
    assert_eq!(parse_error("<<if true>><<$x := 2>><<end>><<$x>>").position, 31);
}

#[test]
fn functions_follow_go() {
    for (text, expected) in [
        ("<<print 1 2 \"a\" 3 nil true>>", "1 2a3 <nil> true"),
        ("<<println \"a\" 1>>", "a 1\n"),
        ("<<and 1 0 .Nothing>>", "0"),
        ("<<or 0 \"\" \"x\" .Nothing>>", "x"),
        ("<<not .Series>>", "false"),
        ("<<len .GroupBySlice>>", "2"),
        ("<<index .GroupBySlice 1>>", "container"),
        ("<<index \"abc\" 1>>", "98"),
        ("<<slice .Series 0 4>>", "http"),
        ("<<slice .GroupBySlice 1>>", "[container]"),
        ("<<eq .GroupBy \"a\" \"pod,container\">>", "true"),
        ("<<ne 1 2>><<lt 1 2>><<le 2 2>><<gt \"b\" \"a\">><<ge 1.5 2.5>>", "truetruetruetruefalse"),
        ("<<html \"<a href='x'>&\\\"\">>", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;"),
        ("<<urlquery \"a b&c=é\">>", "a+b%26c%3D%C3%A9"),
        ("<<js \"it's <b>\">>", "it\\'s \\u003Cb\\u003E"),
        ("<<.Series | printf \"%s-%s\" \"a\">>", "a-http_requests_total"),
        (
            "<<printf \"%q %d %5.1f|%-5s|%05d %x %v %t\" \"a\\n\" 7 1.25 \"ab\" 42 \"hi\" .GroupBySlice true>>",
            "\"a\\n\" 7   1.2|ab   |00042 6869 [pod container] true",
        ),
        ("<<printf \"%d %s\" \"a\">>", "%!d(string=a) %!s(MISSING)"),
        ("<<printf \"a\" 1 \"b\">>", "a%!(EXTRA int=1, string=b)"),
        ("<<printf \"%\">>", "%!(NOVERB)"),
        ("<<(printf \"a\") | len>>", "1"),
    ] {
        assert_eq!(render(text), expected, "{text}");
    }
}

#[test]
fn templates_can_be_defined_and_used() {
    assert_eq!(
        render("<<define \"a\">>[<<.>>]<<end>><<template \"a\" .GroupBy>><<template \"a\">>"),
        "[pod,container][<no value>]"
    );
    assert_eq!(render("<<block \"b\" .Series>><<.>>!<<end>>"), "http_requests_total!");
    assert!(render_error("<<template \"x\">>").message.contains("\"x\""));
}

#[test]
fn an_unknown_field_is_an_error_only_when_it_is_rendered() {
    let error = render_error("sum(<<.Serie>>)");
    assert_eq!(error.position, 6);
    assert!(error.message.contains(".Serie;") && error.message.contains(".Series"), "{error}");
    assert_eq!(render("<<if false>><<.Serie>><<end>>"), "");
    assert!(render_error("<<.Series 1>>").message.contains("no arguments"));
}

#[test]
fn a_parse_error_says_where_and_what() {
    for (text, position, words) in [
        ("a<<.Series", 10, "\">>\""),
        ("<<Series>>", 2, "begins with a dot"),
        ("<<if .Series>>a", 0, "<<end>>"),
        ("<<end>>", 0, "to end"),
        ("<<.Series | \"x\">>", 12, "cannot follow"),
        ("<<\"a>>", 2, "does not end"),
        ("<<(.Series>>", 10, "add ')'"),
        ("<<>>", 2, "no value"),
        ("<<break>>", 2, "inside of range"),
        ("<<.Series}}", 9, "'}'"),
        ("<<99999999999999999999>>", 2, "64 bits"),
        ("<<\"\\q\">>", 2, "escapes"),
    ] {
        let error = parse_error(text);
        assert_eq!(error.position, position, "{text}: {error}");
        assert!(error.message.contains(words), "{text}: {error}");
    }
}

#[test]
fn hostile_templates_end_with_an_error() {
    let deep = |count: usize| format!("<<{}1{}>>", "(".repeat(count), ")".repeat(count));
    assert_eq!(render(&deep(40)), "1");
    assert!(parse_error(&deep(65)).message.contains("64 levels"));
    assert!(parse_error(&"<<if 1>>".repeat(8000)).message.contains("64 levels"));
    assert!(parse_error(&"x".repeat(70_000)).message.contains("70000 bytes"));
    assert!(
        render_error("<<define \"a\">><<template \"a\">><<end>><<template \"a\">>")
            .message
            .contains("128 levels")
    );
    assert!(render_error("<<range 1000000000000>><<end>>").message.contains("steps"));
    let doubling = "<<$x := .Series>><<range 100>><<$x = print $x $x>><<end>>";
    assert!(
        render_error(doubling).message.contains("longer than")
            || render_error(doubling).message.contains("steps")
    );
    assert!(render_error("<<range 10000>><<printf \"%1000d\" 1>><<end>>").message.contains("bytes"));
    assert!(
        render_error(&format!("<<printf \"{}\" 1>>", "%[1]1000000d".repeat(5000))).message.contains("bytes")
    );
    assert!(render_error("<<slice \"é\" 0 1>>").message.contains("UTF-8"));
}

#[test]
fn the_fields_that_are_mentioned_are_known() {
    let template = Template::parse(
        "<<define \"a\">><<$.GroupBy>><<end>><<if (index .LabelValuesByName \"x\")>><<print (print .Series)>><<end>>",
    )
    .unwrap();
    let used: Vec<_> = ["Series", "LabelMatchers", "LabelValuesByName", "GroupBy", "GroupBySlice"]
        .into_iter()
        .filter(|field| template.uses(field))
        .collect();
    assert_eq!(used, ["Series", "LabelValuesByName", "GroupBy"]);
}

#[test]
fn a_label_has_its_own_fields() {
    let label = |text: &str, group: &str| {
        let fields = LabelFields { group: group.into(), resource: "pod".into() };
        Template::parse(text).unwrap().render(&Fields::Label(fields)).unwrap()
    };
    assert_eq!(label("kube_<<.Resource>>", ""), "kube_pod");
    assert_eq!(label("<<.Group>>_<<.Resource>>", "apps"), "apps_pod");
    assert_eq!(label("<<.>>", "apps"), "pod.apps");
    assert_eq!(label("<<.>>", ""), "pod");
}

#[test]
fn fields_without_anything_in_them_are_rendered_empty() {
    let empty =
        Fields::Query(QueryFields { label_values_by_name: BTreeMap::new(), ..QueryFields::default() });
    let template = Template::parse("<<.Series>>|<<.GroupBySlice>>|<<.LabelValuesByName>>").unwrap();
    assert_eq!(template.render(&empty).unwrap(), "|[]|map[]");
}
