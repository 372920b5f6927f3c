//! The name of a series that a rule may find: `check` asks no Prometheus.

use crate::rules::adapter::AdapterRule;

/// What takes the place of any text in a name.
const ANY: &str = "example";

/// The name of the only series that the rule finds, if its texts tell it.
pub(super) fn named_series(rule: &AdapterRule) -> Option<String> {
    Some(example_series(rule)).filter(|series| !series.contains(ANY))
}

/// The name of a series that the rule takes, if its texts tell one.
pub(super) fn example_series(rule: &AdapterRule) -> String {
    let query = rule.series_query.trim();
    let (before, matchers) = query.split_once('{').unwrap_or((query, ""));
    let named = Some(before.trim()).filter(|name| !name.is_empty()).map(str::to_owned);
    let matched = rule.naming.matches().and_then(plain);
    let candidates = [named, equal_name(matchers), regex_name(matchers), matched, Some(ANY.to_owned())];
    let mut candidates = candidates.into_iter().flatten();
    let first = candidates.clone().next().unwrap_or_default();
    candidates.find(|candidate| rule.metric_name(candidate).is_some()).unwrap_or(first)
}

/// The name in `__name__="…"`.
fn equal_name(matchers: &str) -> Option<String> {
    quoted(behind(matchers, "=")?).map(str::to_owned)
}

/// A name that `__name__=~"…"` matches.
fn regex_name(matchers: &str) -> Option<String> {
    quoted(behind(matchers, "=~")?).and_then(plain)
}

fn behind<'a>(matchers: &'a str, operator: &str) -> Option<&'a str> {
    let (_, rest) = matchers.split_once("__name__")?;
    rest.trim_start().strip_prefix(operator).filter(|rest| !rest.starts_with('~')).map(str::trim_start)
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    text.get(1..)?.split(quote).next()
}

/// A text that a simple regular expression matches.
fn plain(regex: &str) -> Option<String> {
    let mut text = regex.trim_start_matches('^').trim_end_matches('$').to_owned();
    for any in ["(.*)", "(.+)", "(.+?)", "(.*?)", ".*", ".+"] {
        text = text.replace(any, ANY);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    (!text.is_empty() && text.chars().all(is_name)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_a_matcher() {
        let found = |matchers: &str| equal_name(matchers).or_else(|| regex_name(matchers));
        assert_eq!(found("__name__=\"http_total\",a!=\"\"}").as_deref(), Some("http_total"));
        assert_eq!(found("a!=\"\", __name__ =~ '^shop_.*'}").as_deref(), Some("shop_example"));
        assert_eq!(
            found("__name__=~\"^container_(.*)_total$\"}").as_deref(),
            Some("container_example_total")
        );
        assert_eq!(found("__name__!~\"^container_.*\"}"), None);
        assert_eq!(found("__name__=~\"a|b\"}"), None);
        assert_eq!(found(""), None);
    }
}
