//! The samples of the world: text with one series in each line, to the `OpenMetrics` format.

use std::fmt::Write as _;

/// From how long before now to how long after now there are samples, in seconds: longer than the windows of the queries
/// before, and longer than the suite takes after.
const BEFORE: i64 = 15 * 60;
const AFTER: i64 = 15 * 60;
/// Seconds between two samples.
const STEP: i64 = 15;
/// What a sample of the past is at the end: long enough ago for no query and no discovery to find it.
const PAST: i64 = 3 * 3600;

/// `name{labels} 5` is always 5, `name{labels} +5` a counter that grows by 5 a second, and `name{labels} past 5` was 5
/// three hours ago. Lines that begin with `#` are comments.
pub(crate) fn openmetrics(text: &str, now: i64) -> String {
    let mut samples = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a line is a series and a value");
        if let Some(series) = series.strip_suffix(" past") {
            let _ = writeln!(samples, "{series} {value} {}", now - PAST);
            continue;
        }
        // Go and Rust both read `+Inf`.
        let rate =
            value.strip_prefix('+').and_then(|rate| rate.parse::<f64>().ok()).filter(|rate| rate.is_finite());
        for offset in (-BEFORE..=AFTER).step_by(STEP.unsigned_abs().try_into().unwrap()) {
            let time = now + offset;
            match rate {
                Some(rate) => {
                    let seconds = i32::try_from(offset + BEFORE).map(f64::from).unwrap();
                    let _ = writeln!(samples, "{series} {} {time}", rate * seconds);
                }
                None => drop(writeln!(samples, "{series} {value} {time}")),
            }
        }
    }
    samples + "# EOF\n"
}

#[test]
fn a_line_is_a_gauge_a_counter_or_a_sample_of_the_past() {
    let text = openmetrics("# note\na{b=\"c d\"} +Inf\n\nb_total{} +2\nc past 7\n", 1_000_000);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "a{b=\"c d\"} +Inf 999100");
    assert!(lines.contains(&"b_total{} 30 999115"), "{text}");
    assert_eq!(lines[lines.len() - 2..], ["c 7 989200", "# EOF"]);
}
