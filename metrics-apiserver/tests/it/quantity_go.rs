//! Compares quantities and selectors with the Kubernetes libraries, through the small Go program in `testbed/quantity`.

use metrics_apiserver::metric::{Format, ParseQuantityError, Quantity, Selector};

use super::go::{Cases, ask};

impl Cases {
    fn digits(&mut self, longest: usize) -> String {
        (0..self.below(longest + 1)).map(|_| self.one(&["0", "0", "1", "2", "5", "9", "9"])).collect()
    }

    /// Numbers of every magnitude, many of them round in the given base.
    fn integers(&mut self, base: i64, count: usize) -> Vec<i64> {
        let powers: Vec<i64> = std::iter::successors(Some(1_i64), |power| power.checked_mul(base)).collect();
        let mut integers = vec![0, 1, -1, 999, 1000, 1001, -1000, i64::MAX, i64::MIN, i64::MIN + 1];
        integers.extend(powers.iter().flat_map(|power| [*power, -power, power - 1, power + 1]));
        for _ in 0..count {
            let number = self.next().cast_signed() >> self.below(64);
            let power = powers[self.below(powers.len())];
            integers.extend([number, number / power * power]);
        }
        integers
    }

    /// A quantity, usually of the grammar.
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

    /// A quantity with one more character somewhere.
    fn broken_quantity(&mut self) -> String {
        let mut text = self.quantity();
        let at = self.below(text.len() + 1);
        text.insert_str(at, self.one(&[" ", ".", "-", "+", "x", "e", "E", "i", "1", "m", "é", "_", ","]));
        text
    }
}

fn compare(kind: &str, cases: &[String], check: impl Fn(&str, &str) -> bool) {
    let queries: Vec<_> = cases.iter().map(|case| format!("{kind} {case}")).collect();
    let Some(answers) = ask("quantity", &queries) else { return };
    let wrong: Vec<_> =
        cases.iter().zip(answers).filter(|(case, answer)| !check(case, answer)).take(20).collect();
    assert!(wrong.is_empty(), "Go says otherwise: {wrong:#?}");
}

/// Compares the canonical form and the thousandths that the HPA reads.
fn compare_format(kind: &str, format: Format, cases: &[i64]) {
    let texts: Vec<_> = cases.iter().map(i64::to_string).collect();
    compare(kind, &texts, |case, answer| {
        let quantity = Quantity::new(case.parse().unwrap(), format);
        format!("{quantity} {}", quantity.milli()) == answer
    });
}

#[test]
fn a_milli_quantity_prints_as_the_go_library_prints_it() {
    compare_format("m", Format::Milli, &Cases(1).integers(10, 3000));
}

#[test]
fn a_nano_quantity_prints_as_the_go_library_prints_it() {
    compare_format("n", Format::Nano, &Cases(4).integers(10, 3000));
}

#[test]
fn a_binary_quantity_prints_as_the_go_library_prints_it() {
    let mut random = Cases(5);
    let mut cases = random.integers(2, 3000);
    // Whole units, most of which have a binary suffix.
    let units = random.integers(2, 3000).into_iter().chain(random.integers(1024, 1000));
    cases.extend(units.filter_map(|units| units.checked_mul(1000)));
    cases.extend(
        [1023, 1024, 1025, 1536]
            .into_iter()
            .flat_map(|units| [units * 1000, units * -1000, units * 1000 + 1]),
    );
    let is_binary = |case: &&i64| Quantity::new(**case, Format::Binary).to_string().ends_with('i');
    assert!(cases.iter().filter(is_binary).count() > 1000, "enough with a binary suffix");
    compare_format("b", Format::Binary, &cases);
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
