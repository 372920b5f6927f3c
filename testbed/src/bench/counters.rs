//! Counters, as the server and Prometheus show them at `/metrics`.

/// The sum of all series of `name` whose labels hold every one of `labels` (such as `result="hit"`); `None` if there is
/// none.
pub(super) fn sum(exposition: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut series = exposition.lines().filter_map(|line| value(line, name, labels)).peekable();
    series.peek()?;
    Some(series.sum())
}

fn value(line: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (held, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let is_meant = labels.iter().all(|label| held.split(',').any(|one| one == *label));
    is_meant.then(|| value.split(' ').next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_meant_are_summed_and_no_others() {
        let text = "# TYPE reads counter\n\
                    reads_total{result=\"hit\",a=\"b\"} 3\n\
                    reads_total{result=\"missed\"} 4\n\
                    reads_total_more{result=\"hit\"} 100\n\
                    plain 1e2\n";
        let close = |sum: Option<f64>, expected: f64| (sum.unwrap() - expected).abs() < 1e-9;
        assert!(close(sum(text, "reads_total", &[]), 7.0));
        assert!(close(sum(text, "reads_total", &["result=\"hit\""]), 3.0));
        assert!(close(sum(text, "plain", &[]), 100.0));
        assert_eq!(sum(text, "reads_total", &["result=\"none\""]), None);
        assert_eq!(sum(text, "read", &[]), None);
    }
}
