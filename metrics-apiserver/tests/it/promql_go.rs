//! Runs the queries of Prometheus' own tests, at the testbed's version, through the check of queries, and compares what
//! is refused with the table in `docs/configuration.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use metrics_apiserver::metric::{MetricName, Namespace, Resources};
use metrics_apiserver::rules::{
    BackendName, NamespaceMode, NativeQuery, QueryTemplate, Rule, SelectorMode, with_large_stack,
};
use serde_json::{Value, json};

use super::go::{Cases, ask, module_dir};

const PROMETHEUS: &str = "github.com/prometheus/prometheus";

fn docs() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md")).unwrap()
}

/// The expressions of `eval instant` that Prometheus evaluates without an error.
fn expressions(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ext| ext == "test")).collect();
    files.sort();
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(expression) = instant(line) else { continue };
            let mut rest = lines[index + 1..].iter();
            let fails = rest
                .by_ref()
                .take_while(|line| !line.is_empty() && !line.starts_with("eval"))
                .any(|line| line.starts_with("expect fail"));
            if !fails {
                found.insert(expression.to_owned());
            }
        }
    }
    found
}

/// The expression of `eval instant at 5m expression`.
fn instant(line: &str) -> Option<&str> {
    let (command, rest) = line.split_once(char::is_whitespace)?;
    if !["eval", "eval_warn", "eval_info", "eval_ordered"].contains(&command) {
        return None;
    }
    let rest = rest.trim_start().strip_prefix("instant")?.trim_start();
    match rest.strip_prefix("at ") {
        Some(rest) => rest.trim_start().split_once(char::is_whitespace).map(|(_, rest)| rest.trim_start()),
        None => Some(rest),
    }
}

/// The rows of the table of forms: the form, its examples, and what to write instead.
fn rows(docs: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
    let table = docs.split("| form | example | write instead |").nth(1).unwrap().trim_start();
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [form, examples, instead] = cells[..] else { panic!("{row}") };
        (form.to_owned(), code(examples), code(instead))
    })
    .collect()
}

/// The form because of which an expression is refused.
fn form(expression: &str) -> Option<&'static str> {
    let is_calculated = |rest: &str| {
        let rest = rest.trim_start().trim_start_matches('-').trim_start();
        let end = rest.find([']', ':']).unwrap_or(rest.len());
        rest[..end].contains(['+', '-', '*', '/', '%', '(']) || rest.starts_with('(')
    };
    let has_calculation =
        ["[", " offset "].iter().any(|start| expression.split(start).skip(1).any(is_calculated));
    let outside_quotes: String = expression.split('"').step_by(2).collect();
    let mut words = outside_quotes.split(|c: char| !c.is_alphanumeric() && c != '.' && c != '_');
    let has_name =
        words.any(|word| !word.is_ascii() || word.contains('.') && word.contains(char::is_alphabetic));
    match expression {
        _ if has_name => Some("unquoted names with other characters than letters, digits, `_` and `:`"),
        _ if has_calculation => Some("calculated durations"),
        _ => None,
    }
}

#[test]
fn the_queries_of_prometheus_own_tests_are_accepted_but_for_the_documented_forms() {
    let Some(dir) = module_dir("tools", PROMETHEUS) else { return };
    let expressions = expressions(&dir.join("promql/promqltest/testdata"));
    assert!(expressions.len() > 1500, "the tests of Prometheus were not found");
    let checked = with_large_stack(|| {
        let check = |text: String| (QueryTemplate::parse(&text).err(), text);
        expressions.into_iter().map(check).collect::<Vec<_>>()
    });
    let (mut numbers, mut accepted, mut forms) = (0, 0, BTreeMap::new());
    for (error, text) in checked.unwrap() {
        match error {
            // Those that return a string or a range vector.
            Some(error) if error.message.starts_with("the query returns a ") => continue,
            Some(error) => {
                let form = form(&text).unwrap_or_else(|| panic!("{text} is refused: {error}"));
                *forms.entry(form).or_insert(0) += 1;
            }
            None => accepted += 1,
        }
        numbers += 1;
    }
    let (docs, rows) = (docs(), rows(&docs()));
    for (form, count) in forms {
        assert!(rows.iter().any(|row| row.0 == form), "{count} queries are refused, but `{form}` has no row");
    }
    let thousands = |number: u32| format!("{},{:03}", number / 1000, number % 1000);
    let sentence = format!(
        "Of the {} instant queries with numbers as a result in Prometheus' own tests, {} are accepted",
        thousands(numbers),
        thousands(accepted)
    );
    assert!(docs.replace('\n', " ").contains(&sentence), "write into docs/configuration.md: {sentence}");
}

#[test]
fn the_documented_forms_are_refused_and_what_to_write_instead_is_accepted() {
    let rows = rows(&docs());
    assert!(rows.len() > 8, "the table was not found");
    for (form, examples, instead) in rows {
        for example in examples {
            assert!(QueryTemplate::parse(&example).is_err(), "{form}: {example} is accepted");
        }
        for query in instead {
            assert!(QueryTemplate::parse(&query).is_ok(), "{form}: {query} is refused");
        }
    }
}

/// A matcher as Prometheus' parser reports it: name, operator and value.
type Matcher = [String; 3];

fn matcher(name: &str, operator: &str, value: &str) -> Matcher {
    [name, operator, value].map(str::to_owned)
}

/// The matchers of every selector of each query, each list sorted, as Prometheus' parser reads them.
fn selectors(queries: &[String]) -> Option<Vec<Result<Vec<Vec<Matcher>>, String>>> {
    let lines: Vec<_> = queries.iter().map(|query| json!(query).to_string()).collect();
    let answers = ask("tools/promql", &lines)?;
    let read = |line: &String| {
        let answer: Value = serde_json::from_str(line).unwrap();
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        let mut selectors: Vec<Vec<Matcher>> = serde_json::from_value(answer["selectors"].clone()).unwrap();
        for matchers in &mut selectors {
            matchers.sort();
        }
        Ok(selectors)
    };
    Some(answers.iter().map(read).collect())
}

/// The query of a request in `shop` with this selector; none if the rule or the request is refused.
fn rendered(query: &str, namespace: &str, selector: &str) -> Option<String> {
    let query = QueryTemplate::parse(query).ok()?;
    let label = NamespaceMode::Label(namespace.to_owned());
    let query = NativeQuery::new(query, label, SelectorMode::Inject).ok()?;
    let rule = Rule::native(MetricName::parse("m").unwrap(), BackendName("b".into()), query);
    let plan = rule.external_plan(
        &Namespace::parse("shop").unwrap(),
        &selector.parse().unwrap(),
        &Resources::default(),
    );
    Some(plan.ok()?.queries[0].promql.to_string())
}

#[test]
fn prometheus_reads_the_injected_matchers_in_every_selector() {
    let Some(dir) = module_dir("tools", PROMETHEUS) else { return };
    let mut written = Vec::from_iter(expressions(&dir.join("promql/promqltest/testdata")));
    written.extend(REGEXES.iter().map(|regex| format!("a{{x=~{regex},y!~{regex}}} / on () b{{z=\"w\"}}")));
    let rendered = with_large_stack(|| {
        let selector = "app.kubernetes.io/name in (x.y,z),tier!=b";
        let render = |query: String| Some((rendered(&query, "k8s.namespace.name", selector)?, query));
        written.into_iter().filter_map(render).collect::<Vec<_>>()
    });
    let (rendered, written): (Vec<_>, Vec<_>) = rendered.unwrap().into_iter().unzip();
    assert!(written.len() > 1500);
    let (before, after) = (selectors(&written).unwrap(), selectors(&rendered).unwrap());
    let added = [
        matcher("k8s.namespace.name", "=", "shop"),
        matcher("app.kubernetes.io/name", "=~", "x\\.y|z"),
        matcher("tier", "!=", "b"),
    ];
    for (index, (before, after)) in before.into_iter().zip(after).enumerate() {
        let (written, rendered) = (&written[index], &rendered[index]);
        match (before, after) {
            (Ok(before), Ok(after)) => {
                let with_added = |mut matchers: Vec<Matcher>| {
                    matchers.extend(added.clone());
                    matchers.sort();
                    matchers
                };
                let expected: Vec<_> = before.into_iter().map(with_added).collect();
                assert_eq!(after, expected, "{written}\n{rendered}");
            }
            (Err(_), Err(_)) => {}
            (before, after) => panic!("{written}: {before:?}\n{rendered}: {after:?}"),
        }
    }
}

/// A selector of names and values that could be taken for something else.
fn odd_selector(random: &mut Cases) -> String {
    let names = [
        "a", "or", "and", "if", "with", "limit", "offset", "anchored", "__call", "slot_0_n", "info", "inf",
        "by", "fill", "start", "a:b", "",
    ];
    let labels = [
        "x",
        "or",
        "OR",
        "namespace",
        "\"x.y\"",
        "\"or\"",
        "\"\\\"\"",
        "'a b'",
        "`q`",
        "slot_0_s",
        "\"}\"",
        "\"#\"",
        "\"x\\u0022\"",
    ];
    let values = [
        "\"y\"",
        "\"\"",
        "`\\d`",
        "\".+\"",
        "\"$namespace\"",
        "\"$app\"",
        "\"a|$app\"",
        "\"\\\"} or {\\\"\"",
        "'\"'",
        "`\"`",
        "\"\\\\\"",
        "\"#\"",
        "\"=~\"",
        "\"rx\"",
        "\"\\n\"",
        "\"slot_0_p2_\"",
        "\"\\x7d\"",
        "`}\n{`",
    ];
    let matcher = |random: &mut Cases| {
        let operator = random.one(&["=", "!=", "=~", "!~", " =~ "]).to_owned();
        random.one(&labels).to_owned() + &operator + random.one(&values)
    };
    let matchers: Vec<_> = (0..random.below(4)).map(|_| matcher(random)).collect();
    let between = random.one(&[",", ", ", " or ", ",#\n"]);
    let behind = random.one(&["", "", "[5m]", "[5m:1m]", " offset 5m", " @ end()", " anchored"]);
    format!("{}{{{}}}{behind}", random.one(&names), matchers.join(between))
}

fn odd_query(random: &mut Cases, depth: usize) -> String {
    if depth == 0 {
        return odd_selector(random);
    }
    let (first, second) = (odd_query(random, depth - 1), odd_query(random, depth - 1));
    match random.below(5) {
        0 => format!(
            "{first} {} {second}",
            random.one(&["+", "or", "unless", "== bool", "* on (x)", "default"])
        ),
        1 => format!("sum by (x) ({first})"),
        2 => format!(
            "{}({first})",
            random.one(&["rate", "info", "xrate", "sort", "absent", "ttf", "__call", "with"])
        ),
        3 => format!(
            "{}({first}, {second})",
            random.one(&["info", "union", "ru", "topk", "label_set", "__anchored"])
        ),
        _ => format!("({first})"),
    }
}

#[test]
fn prometheus_reads_the_namespace_in_every_selector_of_odd_queries() {
    let written = || {
        let mut random = Cases(1);
        let mut query = || {
            let depth = random.below(3);
            odd_query(&mut random, depth)
        };
        let written: Vec<_> = (0..20_000).map(|_| query()).collect();
        written.iter().filter_map(|query| rendered(query, "namespace", "app=v.w,or,!by")).collect::<Vec<_>>()
    };
    let rendered = with_large_stack(written).unwrap();
    let Some(read) = selectors(&rendered) else { return };
    let mut accepted = 0;
    for (query, selectors) in rendered.iter().zip(read) {
        let Ok(selectors) = selectors else { continue };
        accepted += 1;
        // By the rule's label, or by an equality that the author wrote.
        let is_bound =
            |[name, operator, value]: &Matcher| operator == "=" && value == "shop" && !name.starts_with("__");
        assert!(selectors.iter().all(|matchers| matchers.iter().any(is_bound)), "{query}");
    }
    assert!(accepted > 1000, "{accepted} queries prove little");
}

/// Regular expressions, some of which Rust's engine or Prometheus refuses.
const REGEXES: [&str; 12] = [
    r#""[\\w-.]+""#,
    r"`[\w-.]+`",
    r"'\\Q.\\E('",
    r"`\pN{1000}`",
    r#"".*""#,
    r#""(""#,
    r#""[[:word:]--x]""#,
    r"`(?i)(?P<a>x)`",
    r"`\C`",
    r#""a{,2}""#,
    r#""(?=x)""#,
    r#""\u00e9\n""#,
];

/// A regular expression with the parameter `app`, the query of a request with a value for it, and texts to match.
struct Case {
    regex: String,
    query: String,
    texts: Vec<String>,
}

/// The value of the parameter.
const VALUE: &str = "l.m-n";
/// What stands for it where the regular expression is matched without it: one character, so that repeating it is
/// repeating the value as a whole.
const STAND_IN: &str = "P";

fn cases() -> Vec<Case> {
    let pieces = [
        "a", "-", "b?", "(?:b|c)", "(a|", "(", ")", "|b)", "*", "?", "{2}", "|", "^", "\\.", "\\x41",
        "\\Q+\\E", "[x$]", "[^Plmn]*",
    ];
    let texts = ["a", "b", "c", "-", ".", "A", "+", "x", "$", "P", "PP", "P", ""];
    let mut random = Cases(18);
    let case = |_| {
        let mut parts: Vec<String> = (0..3).map(|_| random.joined(&pieces, 2)).collect();
        parts.insert(1 + random.below(2), "${app}".to_owned());
        let regex = parts.concat();
        let query = rendered(&format!("a{{x=~{}}}", json!(regex)), "namespace", &format!("app={VALUE}"))?;
        let texts = (0..8).map(|_| random.joined(&texts, 4)).chain([STAND_IN.to_owned()]).collect();
        Some(Case { regex, query, texts })
    };
    (0..2000).filter_map(case).collect()
}

#[test]
fn a_parameter_in_a_regular_expression_matches_its_value_and_nothing_else() {
    let cases = with_large_stack(cases).unwrap();
    assert!(cases.len() > 1500, "{}", cases.len());
    let plain = |case: &Case| case.regex.replace("${app}", STAND_IN);
    let filled: Vec<_> = cases.iter().map(|case| case.query.clone()).collect();
    let with_stand_in: Vec<_> = cases.iter().map(|case| format!("a{{x=~{}}}", json!(plain(case)))).collect();
    let Some(filled) = selectors(&filled) else { return };
    let with_stand_in = selectors(&with_stand_in).unwrap();
    let (mut compared, mut lines) = (Vec::new(), Vec::new());
    for ((case, filled), with_stand_in) in cases.iter().zip(filled).zip(with_stand_in) {
        assert_eq!(filled.is_ok(), with_stand_in.is_ok(), "{}\n{}", case.regex, case.query);
        let Ok(filled) = filled else { continue };
        let anchored = |regex: &str| format!("^(?s:{regex})$");
        let regex = &filled[0].iter().find(|[name, ..]| name == "x").unwrap()[2];
        let texts: Vec<_> = case.texts.iter().map(|text| text.replace(STAND_IN, VALUE)).collect();
        lines.push(json!({ "regex": anchored(&plain(case)), "inputs": case.texts }).to_string());
        lines.push(json!({ "regex": anchored(regex), "inputs": texts }).to_string());
        compared.push(case);
    }
    let answers = ask("language", &lines).unwrap();
    let answers: Vec<Value> = answers.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut matched = 0;
    for (case, answers) in compared.iter().zip(answers.chunks(2)) {
        let [plain, filled] = [&answers[0], &answers[1]].map(|answer| &answer["found"]);
        assert_eq!(plain, filled, "{}\n{}\n{:?}", case.regex, case.query, case.texts);
        matched += plain.as_array().unwrap().iter().filter(|found| **found == true).count();
    }
    assert!(matched > 50, "{matched} matches of {} expressions prove little", compared.len());
}
