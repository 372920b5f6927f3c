//! Compares the language of adapter rules with Go's `text/template`, `regexp` and `strconv`, through the small Go
//! program in `testbed/language`.

use metrics_apiserver::rules::adapter::{Fields, GoRegex, LabelFields, QueryFields, Template, quoted};
use serde_json::{Value, json};

use super::go::{Cases, ask};

/// What a template of a query is rendered with.
fn query_fields() -> QueryFields {
    let values = [("namespace", "default"), ("pod", "a|b.c"), ("empty", ""), ("kube_deployment", "é\"\n")];
    QueryFields {
        series: "http_requests_total".to_owned(),
        label_matchers: "namespace=\"default\",pod=~\"a|b\"".to_owned(),
        label_values_by_name: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        group_by: "pod,container".to_owned(),
        group_by_slice: vec!["pod".to_owned(), "container".to_owned()],
    }
}

fn label_fields() -> LabelFields {
    LabelFields { group: "apps".to_owned(), resource: "deployment".to_owned() }
}

fn answers(queries: &[Value]) -> Option<Vec<Value>> {
    let lines: Vec<String> = queries.iter().map(Value::to_string).collect();
    let answers = ask("language", &lines)?;
    Some(answers.iter().map(|answer| serde_json::from_str(answer).unwrap()).collect())
}

/// The stage and text of an outcome: "parse", "render" or "".
fn outcome(text: &str, fields: &Fields) -> (&'static str, String) {
    match Template::parse(text) {
        Err(error) => ("parse", error.to_string()),
        Ok(template) => match template.render(fields) {
            Err(error) => ("render", error.to_string()),
            Ok(text) => ("", text),
        },
    }
}

/// Whether we refuse what Go would do: it has other limits, and numbers that we do not have.
fn is_a_limit(message: &str) -> bool {
    ["steps", "levels deep", "longer than"].iter().any(|limit| message.contains(limit))
}

/// Whether Go wrote a hexadecimal or binary floating-point number, which we do not.
fn has_float_of_base_two(text: &str) -> bool {
    let text = text.to_lowercase();
    ["p+", "p-", "p%2b"].iter().any(|exponent| text.contains(exponent))
}

fn compare_templates(cases: &[String], is_label: bool) {
    let fields = query_fields();
    let query = json!({
        "Series": fields.series, "LabelMatchers": fields.label_matchers,
        "LabelValuesByName": fields.label_values_by_name, "GroupBy": fields.group_by,
        "GroupBySlice": fields.group_by_slice,
    });
    let label = json!({ "Group": label_fields().group, "Resource": label_fields().resource });
    let queries: Vec<Value> = cases
        .iter()
        .map(|text| {
            if is_label {
                json!({"template": text, "label": label})
            } else {
                json!({"template": text, "query": query})
            }
        })
        .collect();
    let Some(answers) = answers(&queries) else { return };
    let data = if is_label { Fields::Label(label_fields()) } else { Fields::Query(fields) };
    let (mut wrong, mut rendered) = (Vec::new(), 0);
    for (text, answer) in cases.iter().zip(&answers) {
        let expected = (answer["error"].as_str().unwrap_or_default(), answer["text"].as_str().unwrap());
        let (stage, ours) = outcome(text, &data);
        let is_same = stage == expected.0 && (!stage.is_empty() || ours == expected.1);
        rendered += usize::from(stage.is_empty());
        if !is_same && !is_a_limit(&ours) && !has_float_of_base_two(expected.1) {
            wrong.push((text, (stage, ours), expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), cases.len(), &wrong[..wrong.len().min(12)]);
    assert!(rendered * 5 > cases.len(), "only {rendered} of {} cases are rendered", cases.len());
}

/// A list that is written with dots between its elements.
fn pieces(text: &str) -> Vec<&str> {
    text.split('·').collect()
}

const VALUES: &str = ".Series·.LabelMatchers·.GroupBy·.GroupBySlice·.LabelValuesByName·.LabelValuesByName.pod·\
    .LabelValuesByName.none·.LabelValuesByName.none.x·.·$·$.Series·$x·1·0·-3·+7·0x1F·1_0·017·0b11·\
    0o7·1.5·1e3·1e7·.5·0.00001·123456789.5·'x'·'\\n'·'\\''·\"a\"·\"a\\tb\\u00e9\\x41\\101\"·\
    \"pod\"·`raw\\n`·true·false·nil·\"\"·\"Ä日本\"·\"\\xff\"·\"<a href='x'>&=\"";
const FUNCTIONS: &str = "and·or·not·len·index·index·slice·print·printf·printf·println·html·js·urlquery·call·eq·\
    ne·lt·le·gt·ge";
/// Pipelines that can be rendered.
const VALID: &str = ".Series·.LabelMatchers·.GroupBy·.GroupBySlice·.LabelValuesByName·.·$.Series·$x·1·\"a\"·`b\n`·\
    index .LabelValuesByName \"pod\"·index .LabelValuesByName \"none\"·.LabelValuesByName.empty·\
    len .GroupBySlice·index .GroupBySlice 1·slice .Series 5·slice .GroupBySlice 1 2·\
    print 1 .GroupBySlice 2·println \"a\" 1 true·printf \"%s-%q\" .Series .GroupBy·\
    printf \"%5d|%-5s|%05.1f\" 3 \"é\" 1.25·.GroupBy | printf \"%x %v\" true·not .Series·and .Series 0·\
    or \"\" .GroupBy·eq .GroupBy \"pod\" \"pod,container\"·ne 1 2·lt 1.5 2.5·ge \"b\" \"a\"·\
    html .LabelMatchers·js .LabelMatchers·urlquery .LabelMatchers·(len .Series) | printf \"%d\"·\
    print (print .Series) nil·false";

/// Templates that are mostly valid.
struct Writer(Cases);

impl Writer {
    fn value(&mut self, depth: usize) -> String {
        match self.0.below(8) {
            0 | 1 if depth > 0 => format!("({})", self.pipeline(depth - 1)),
            2 if depth > 0 => {
                format!("({}).{}", self.pipeline(depth - 1), self.0.one(&["Series", "pod", "x"]))
            }
            _ => self.0.one(&pieces(VALUES)).to_owned(),
        }
    }

    fn format(&mut self) -> String {
        let mut format = String::from("\"");
        for _ in 0..=self.0.below(3) {
            let flags = self.0.joined(&["", "", "", "", "-", "+", "0", " ", "#"], 2);
            let width = self.0.one(&["", "", "", "5", "12", "*", "[2]", "[1]*", "[9]"]);
            let precision = self.0.one(&["", "", "", ".", ".2", ".10", ".*", ".[1]*"]);
            let verb = self.0.one(&[
                "s", "v", "q", "d", "t", "x", "X", "c", "U", "o", "O", "b", "T", "e", "E", "f", "F", "g",
                "G", "w", "%", "z", "[1]v", "é", "",
            ]);
            let before = self.0.one(&["", "a", " ", "é"]);
            format.extend([before, "%", &flags, width, precision, verb]);
        }
        format + "\""
    }

    fn command(&mut self, depth: usize) -> String {
        let function = self.0.one(&pieces(FUNCTIONS));
        let mut words = vec![function.to_owned()];
        if function == "printf" {
            words.push(self.format());
        }
        let one = if matches!(function, "not" | "len") { 1 } else { 2 };
        let count = [one, one, one, 0, 3][self.0.below(5)];
        words.extend((0..count).map(|_| self.value(depth)));
        words.join(self.0.one(&[" ", " ", "  ", "\n"]))
    }

    /// A pipeline that can usually be rendered.
    fn calm(&mut self) -> String {
        if self.0.below(30) == 0 { self.pipeline(2) } else { self.0.one(&pieces(VALID)).to_owned() }
    }

    fn pipeline(&mut self, depth: usize) -> String {
        let mut pipeline = if self.0.below(3) == 0 { self.value(depth) } else { self.command(depth) };
        for _ in 0..[0, 0, 0, 1, 2][self.0.below(5)] {
            pipeline += self.0.one(&["|", " | "]);
            pipeline += &self.command(depth);
        }
        pipeline
    }

    fn action(&mut self, inside: &str) -> String {
        let left = self.0.one(&["<<", "<<", "<<", "<< ", "<<- "]);
        let right = self.0.one(&[">>", ">>", ">>", " >>", " ->>", "  ->>"]);
        format!("{left}{inside}{right}")
    }

    fn node(&mut self, depth: usize) -> String {
        if depth == 0 || self.0.below(3) == 0 {
            return match self.0.below(6) {
                0 => self.0.one(&["sum(", "{", "}[5m]", " \n", "\t ", "é", "by (x)", "<", "> >"]).to_owned(),
                1 => {
                    let assignment = self.0.one(&["$x := ", "$x = ", "$y := "]);
                    let inside = format!("{assignment}{}", self.calm());
                    self.action(&inside)
                }
                2 => self.0.one(&["<</* a comment */>>", "<<- /* b */ ->>"]).to_owned(),
                _ => {
                    let inside = self.calm();
                    self.action(&inside)
                }
            };
        }
        let keyword =
            self.0.one(&["if", "if", "with", "range", "range $i, $x :=", "range $x :=", "range $x ="]);
        let condition = if keyword.starts_with("range") {
            self.0
                .one(&[
                    ".GroupBySlice",
                    ".LabelValuesByName",
                    ".LabelValuesByName.none",
                    "3",
                    "nil",
                    "\"a\"",
                    "(slice .GroupBySlice 1)",
                ])
                .to_owned()
        } else {
            self.calm()
        };
        let begin = self.action(&format!("{keyword} {condition}"));
        let body = self.nodes(depth - 1);
        let jump = if keyword.starts_with("range") {
            self.0.one(&["", "", "<<break>>", "<<if .>><<continue>><<end>>"])
        } else {
            ""
        };
        let otherwise = match self.0.below(4) {
            0 => format!("<<else>>{}", self.nodes(depth - 1)),
            1 => format!("<<else if {}>>{}<<else>>{}", self.value(0), self.nodes(0), self.nodes(0)),
            _ => String::new(),
        };
        let end = self.action("end");
        format!("{begin}{jump}{body}{otherwise}{end}")
    }

    fn nodes(&mut self, depth: usize) -> String {
        (0..=self.0.below(3)).map(|_| self.node(depth)).collect()
    }
}

#[test]
fn a_template_is_rendered_as_go_renders_it() {
    let mut writer = Writer(Cases(11));
    let cases: Vec<String> = (0..6_000).map(|_| format!("<<$x := \"v\">>{}", writer.nodes(2))).collect();
    compare_templates(&cases, false);
}

#[test]
fn a_command_is_evaluated_as_go_evaluates_it() {
    let mut writer = Writer(Cases(12));
    let cases: Vec<String> = (0..10_000).map(|_| format!("<<$x := 2>><<{}>>", writer.pipeline(1))).collect();
    compare_templates(&cases, false);
}

#[test]
fn tokens_in_any_order_are_parsed_as_go_parses_them() {
    const PIECES: &str = "<<·<<·>>·>>·<<- · ->>·<<-·->>· · ·\n·a·.Series·.GroupBy·.·$·$x·$x := ·$x = 1·, ·:=·=·|·(·)·1·\
        \"s\"·`r`·'c'·if ·else·else if ·else with ·end·<<end>>·<<end>>·range ·range $i, $x := ·with ·\
        define \"t\"·block \"b\" ·template \"t\" ·break·continue·print ·len ·not ·nil·true·<</*·*/>>·\
        /* c */·-1·1.5·é·#·}}·!·x·\\·\"·'";
    let (mut random, pieces) = (Cases(13), pieces(PIECES));
    let mut cases: Vec<String> = (0..5_000).map(|_| random.joined(&pieces, 12)).collect();
    for _ in 0..5_000 {
        cases.push(format!("<<{}>>", random.joined(&pieces[8..], 5)));
        cases.push(format!("<<if .Series>>{}<<end>>", random.joined(&pieces, 6)));
    }
    // A template that renders itself ends at other depths.
    cases.retain(|case| !case.contains("template"));
    compare_templates(&cases, false);
}

#[test]
fn queries_in_the_shapes_that_people_write_are_rendered_as_go_renders_them() {
    let cases = [
        "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)",
        "sum(<<.Series>>{<<.LabelMatchers>>,container!=\"POD\"}) by (<<.GroupBy>>)",
        "sum by(namespace) (x)",
        "{ <<.LabelMatchers>> }\n  [5m]\n",
        "max(x{deployment=\"<<index .LabelValuesByName \"service\">>-base\"})",
        "x{pod=~\"<<index .LabelValuesByName \"pod\">>-.*\",a=\"<< index .LabelValuesByName \"namespace\" >>\"}",
        "<<- range .GroupBySlice >><< . >>, <<- end >>",
        "<<range $i, $l := .GroupBySlice>><<if $i>>,<<end>>label_<<$l>><<end>>",
        "<<if .LabelMatchers>>a{<<.LabelMatchers>>}<<else>>a<<end>>",
        "<<with $n := index .LabelValuesByName \"namespace\">>x{ns=\"<<$n>>\"}<<end>>",
        "<<define \"m\">>{<<.LabelMatchers>>}<<end>>a<<template \"m\" .>> / b<<template \"m\" .>>",
        "<<block \"m\" .>>{<<.LabelMatchers>>}<<end>> <<template \"m\" .>>",
        "<<printf \"%q\" (index .LabelValuesByName \"kube_deployment\")>>",
        "<<.LabelValuesByName>> <<.GroupBySlice>> <<.>> <<printf \"%+v %#v\" . .>>",
        "<<- .Series ->> x",
        "plain",
        "",
    ];
    compare_templates(&cases.map(str::to_owned), false);
}

#[test]
fn the_template_of_a_label_is_rendered_as_go_renders_it() {
    let mut cases: Vec<String> = [
        "kube_<<.Resource>>",
        "<<.Group>>_<<.Resource>>",
        "<<.>>",
        "<<printf \"%v %s %q %d %+v %#v %x %T\" . . . . . . . .>>",
        "<<eq . .>>",
        "<<.Series>>",
        "<<print . .>>",
        "<<range .>><<end>>",
    ]
    .map(str::to_owned)
    .into();
    let mut random = Cases(14);
    let pieces =
        ["<<.Resource>>", "<<.Group>>", "_", "label_", "<<if .Group>>", "<<else>>", "<<end>>", "<<print .>>"];
    cases.extend((0..500).map(|_| random.joined(&pieces, 6)));
    compare_templates(&cases, true);
}

const INPUTS: &str = "·a·ab·aab·http_requests_total·container_cpu_usage_seconds_total·POD·pod·a.b·a{1}·x{,5}·é_1·[a]·\
    a-b·\\d·a\nb·K·ſ·09";
const EXPANSIONS: &str =
    "$0·$1·${1}_per_second·$1_per_second·$$1$·${n}x$n·$n_x·${·${1·$é·$01$2·${1}${2}${3}·a$-b·$1a$2";

fn compare_expressions(cases: &[String]) {
    let (inputs, expansions) = (pieces(INPUTS), pieces(EXPANSIONS));
    let queries: Vec<Value> =
        cases.iter().map(|regex| json!({"regex": regex, "inputs": inputs, "expand": expansions})).collect();
    let Some(answers) = answers(&queries) else { return };
    let (mut wrong, mut valid) = (Vec::new(), 0);
    for (text, answer) in cases.iter().zip(&answers) {
        let go_refuses = answer["error"] == "parse";
        let regex = match GoRegex::parse(text) {
            Ok(regex) if !go_refuses => regex,
            Ok(_) => {
                wrong.push(format!("{text:?} is refused by Go: {}", answer["text"]));
                continue;
            }
            Err(_) if go_refuses => continue,
            Err(error) => {
                wrong.push(format!("{text:?} is refused by us: {error}"));
                continue;
            }
        };
        valid += 1;
        let found: Vec<bool> = inputs.iter().map(|input| regex.is_match(input)).collect();
        let expand = |input| expansions.iter().map(|template| regex.expand(input, template)).collect();
        let expanded: Vec<Option<Vec<String>>> = inputs.iter().map(|input| expand(*input)).collect();
        let ours = json!({"groups": regex.groups(), "found": found, "expand": expanded});
        let go = json!({"groups": answer["groups"], "found": answer["found"], "expand": answer["expand"]});
        if ours != go {
            wrong.push(format!("{text:?}:\n  {ours}\n  {go}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), cases.len(), &wrong[..wrong.len().min(12)]);
    assert!(valid * 5 > cases.len(), "only {valid} of {} expressions are valid", cases.len());
}

#[test]
fn an_expression_searches_as_in_go() {
    const PIECES: &str = "a·b·_·total·^·$·.·.*·(.*)·(·)·(?:·(?P<n>·(?<n>·(?i)·(?s)·(?U)·(?i:·(?-i)·(?m)·\
        (?x)·|·*·+·?·??·*?·{·}·{2}·{1,}·{,5}·{0,2}·{01}·{1001}·{2,1}·x{·[ab]·[^a]·[·]·[]a]·[^]a]·[a-c]·[-a]·[a-]·\
        [[:alpha:]]·[[:^digit:]_]·[[:word:]]·[\\d_]·[^\\w]·[a&&b]·[\\-a]·[\\pL]·[--a]·[~~]·\\d·\\D·\\w·\
        \\W·\\s·\\S·\\b·\\B·\\pL·\\PL·\\p{Greek}·\\p{^Lu}·\\A·\\z·\\Z·\\Q.*\\E·\\Qa·\\.·\\-·\\_·\\x41·\
        \\x{e9}·\\141·\\1·\\0·\\n·\\e·\\C·\\/·\\·é· ·#·-·&·(?=a)·(?!a)·(?<!a)";
    let (mut random, pieces) = (Cases(15), pieces(PIECES));
    let mut cases: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    cases.extend((0..2_500).map(|_| random.joined(&pieces, 5)));
    // Go applies a repetition after flags to what is before them.
    let after_flags = |case: &String| {
        ["(?i)", "(?s)", "(?U)", "(?-i)", "(?m)"].iter().any(|flags| {
            ["*", "+", "?", "{2}", "{1,}", "{0,2}"]
                .iter()
                .any(|repeat| case.contains(&format!("{flags}{repeat}")))
        })
    };
    cases.retain(|case| !after_flags(case));
    compare_expressions(&cases);
}

#[test]
fn expressions_that_people_write_search_as_in_go() {
    let cases = [
        "^container_(.*)_seconds_total$",
        "^(.*)_total$",
        "isNot",
        ".*_total$",
        "^container_.*_total$",
        "^http_(requests)_(?P<n>total)$",
        "(?i)POD",
        "^.*$",
        "",
        "a|b|",
        "(a)(b)?(c)?",
        "^\\w+:\\d+$",
        "^(?:http|grpc)_.*_(count|total)$",
        "[a-zA-Z_:][a-zA-Z0-9_:]*",
    ];
    compare_expressions(&cases.map(str::to_owned));
}

#[test]
fn a_string_is_quoted_as_go_quotes_it() {
    // Characters that both know: each has its own version of Unicode.
    let ranges =
        [0..0x600, 0x2000..0x2070, 0x3040..0x3090, 0xd7a0..0xe010, 0xfef0..0x1_0000, 0x1_f600..0x1_f640];
    let mut cases: Vec<String> =
        ranges.into_iter().flatten().filter_map(char::from_u32).map(|c| format!("a{c}b\"{c}")).collect();
    cases.extend(["\u{e0001}", "\u{10ffff}", "\u{301}a", ""].map(str::to_owned));
    let encode = |text: &String| {
        use base64::Engine;
        json!({"quote": base64::engine::general_purpose::STANDARD.encode(text)})
    };
    let Some(answers) = answers(&cases.iter().map(encode).collect::<Vec<_>>()) else { return };
    let wrong: Vec<_> =
        cases.iter().zip(&answers).filter(|(text, answer)| answer["text"] != quoted(text)).take(20).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
