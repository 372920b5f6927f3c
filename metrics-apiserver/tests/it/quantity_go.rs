//! Quantities and selectors against the Kubernetes libraries themselves, through the small Go program in
//! `testbed/quantity`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use metrics_apiserver::metric::{ParseQuantityError, Quantity, Selector};

/// `SplitMix64`: the same cases in every run.
struct Cases(u64);

impl Cases {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn digits(&mut self, longest: usize) -> String {
        (0..self.below(longest + 1)).map(|_| self.one(&["0", "0", "1", "2", "5", "9", "9"])).collect()
    }

    fn joined(&mut self, pieces: &[&str], longest: usize) -> String {
        (0..=self.below(longest)).map(|_| self.one(pieces)).collect()
    }

    /// Of the grammar, mostly.
    fn quantity(&mut self) -> String {
        const SUFFIXES: &[&str] = &[
            "", "", "", "n", "u", "m", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
            "e3", "E-3", "e+2", "e0", "E18", "e-12", "e", "i", "K", "mi", "e3e", "m3",
        ];
        let sign = self.one(&["", "", "-", "+"]);
        let point = self.one(&["", "", "."]);
        let fraction = if point.is_empty() { String::new() } else { self.digits(13) };
        format!("{sign}{}{point}{fraction}{}", self.digits(20), self.one(SUFFIXES))
    }

    /// With one character put in somewhere.
    fn broken_quantity(&mut self) -> String {
        let mut text = self.quantity();
        let at = self.below(text.len() + 1);
        text.insert_str(at, self.one(&[" ", ".", "-", "+", "x", "e", "E", "i", "1", "m", "é", "_", ","]));
        text
    }
}

/// The program's answers, one for each query.
fn ask_go(queries: &[String]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (program, input) = (folder.path().join("quantity"), folder.path().join("queries"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/quantity");
    let build = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).output();
    let build = build.expect("the Go toolchain builds the program to compare with; install Go");
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    fs::write(&input, queries.join("\n") + "\n").unwrap();
    let run = Command::new(&program).stdin(File::open(&input).unwrap()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let answers: Vec<_> = String::from_utf8(run.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), queries.len());
    answers
}

fn compare(kind: &str, cases: &[String], check: impl Fn(&str, &str) -> bool) {
    let queries: Vec<_> = cases.iter().map(|case| format!("{kind} {case}")).collect();
    let wrong: Vec<_> =
        cases.iter().zip(ask_go(&queries)).filter(|(case, answer)| !check(case, answer)).take(20).collect();
    assert!(wrong.is_empty(), "Go says otherwise: {wrong:#?}");
}

#[test]
fn a_quantity_prints_as_the_go_library_prints_it() {
    let mut cases = vec![0, 1, -1, 999, 1000, 1001, -1000, i64::MAX, i64::MIN, i64::MIN + 1];
    for power in 0..19 {
        let ten = 10_i64.pow(power);
        cases.extend([ten, -ten, ten - 1, ten + 1]);
    }
    let mut random = Cases(1);
    for _ in 0..3000 {
        let number = random.next().cast_signed() >> random.below(64);
        let ten = 10_i64.pow(u32::try_from(random.below(19)).unwrap());
        cases.extend([number, number / ten * ten]);
    }
    let cases: Vec<_> = cases.iter().map(i64::to_string).collect();
    compare("m", &cases, |case, answer| Quantity::from_milli(case.parse().unwrap()).to_string() == answer);
}

#[test]
fn a_quantity_is_read_as_the_go_library_reads_it() {
    let mut random = Cases(2);
    let mut cases: Vec<String> = Vec::new();
    for edge in [
        "9223372036854775",
        "9223372036854774.9999",
        "9223372036854775.0001",
        "9223372036854776",
        "8Ei",
        "8Pi",
    ] {
        cases.extend([edge.to_owned(), format!("-{edge}"), format!("{edge}0"), format!("{edge}m")]);
    }
    for _ in 0..5000 {
        cases.extend([random.quantity(), random.broken_quantity()]);
    }
    // Go computes 10 to the power of whatever the exponent says, however long that takes.
    cases.retain(|case| {
        case.rsplit(['e', 'E']).next().is_some_and(|exponent| exponent.len() <= 4) || !has_exponent(case)
    });
    compare("p", &cases, |case, answer| match case.parse::<Quantity>() {
        Ok(quantity) => quantity.milli().to_string() == answer,
        Err(ParseQuantityError::OutOfRange(_)) => answer == "range",
        // Go takes a number without digits for 0, which its own grammar does not allow; we refuse it.
        Err(_) => answer == "error" || !has_digits(case),
    });
}

fn has_exponent(quantity: &str) -> bool {
    quantity.contains(['e', 'E'])
}

fn has_digits(quantity: &str) -> bool {
    let number = quantity.trim_start_matches(['+', '-', '.']);
    number.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn a_selector_is_read_and_printed_as_the_go_library_does() {
    const PIECES: &[&str] = &[
        "a",
        "b",
        "in",
        "notin",
        "=",
        "!=",
        "!",
        "(",
        ")",
        ",",
        ",",
        ">",
        "<",
        " ",
        " in ",
        " notin ",
        " in (a,b)",
        "x/y",
        "/",
        "-",
        "1",
        "a.b-c_d",
        "\t",
        "=a",
        ",a",
        "\"",
        "é",
        "Z9",
    ];
    let long = "a".repeat(63);
    let mut cases =
        vec![String::new(), long.clone(), format!("{long}a"), format!("a={long}"), format!("a={long}a")];
    let mut random = Cases(3);
    cases.extend((0..20_000).map(|_| random.joined(PIECES, 8)));
    // A "==" is kept by Go and printed as "=" here; both mean the same.
    let cases: Vec<_> = cases.into_iter().filter(|case| !case.contains("==")).collect();
    compare("s", &cases, |case, answer| match case.parse::<Selector>() {
        Ok(selector) => format!("{:?}", selector.to_string()) == answer,
        Err(_) => answer == "error",
    });
    assert!(cases.iter().filter(|case| case.parse::<Selector>().is_ok()).count() > 1000, "enough valid ones");
}
