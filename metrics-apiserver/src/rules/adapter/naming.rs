//! From the name of a series to the name of its metric.

use super::error::AdapterError;
use super::regex::GoRegex;

/// Which names of series a rule takes, and what it calls their metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    filters: Vec<SeriesFilter>,
    /// None matches every name, and captures nothing.
    matches: Option<GoRegex>,
    name: String,
}

/// One condition on the name of a series: `is` or `isNot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFilter {
    regex: GoRegex,
    is_positive: bool,
}

impl SeriesFilter {
    /// A filter of which exactly one expression is not empty.
    pub fn parse(is: &str, is_not: &str) -> Result<Self, AdapterError> {
        let (text, key, is_positive) = match (is, is_not) {
            ("", "") => return Err(AdapterError::EmptyFilter),
            (is, "") => (is, "is", true),
            ("", is_not) => (is_not, "isNot", false),
            _ => return Err(AdapterError::DoubleFilter),
        };
        let regex = GoRegex::parse(text).map_err(|error| AdapterError::Regex { key, error })?;
        Ok(Self { regex, is_positive })
    }

    /// Whether it takes a series of this name.
    pub fn takes(&self, series: &str) -> bool {
        self.regex.is_match(series) == self.is_positive
    }
}

impl Naming {
    /// The filters of a rule with `name.matches` and `name.as`, which are empty where they are not set: then every
    /// name matches, and the metric is called like the only group of `matches`, or like all that matches.
    pub fn parse(filters: Vec<SeriesFilter>, matches: &str, name: &str) -> Result<Self, AdapterError> {
        let regex = (!matches.is_empty()).then(|| GoRegex::parse(matches)).transpose();
        let matches = regex.map_err(|error| AdapterError::Regex { key: "matches", error })?;
        let groups = matches.as_ref().map_or(0, GoRegex::groups);
        let name = match (name, groups) {
            ("", 0) => "$0",
            ("", 1) => "$1",
            ("", groups) => return Err(AdapterError::NoName { groups }),
            (name, _) => name,
        };
        Ok(Self { filters, matches, name: name.to_owned() })
    }

    /// The name of the metric of a series; none if the rule does not take the series.
    pub fn metric_name(&self, series: &str) -> Option<String> {
        if !self.filters.iter().all(|filter| filter.takes(series)) {
            return None;
        }
        match &self.matches {
            Some(regex) => regex.expand(series, &self.name),
            // `.*` matches up to the first line break, of which names have none.
            None => GoRegex::parse(".*").ok()?.expand(series, &self.name),
        }
    }

    /// The name of every metric, if it does not depend on the series.
    pub fn constant(&self) -> Option<&str> {
        (!self.name.contains('$')).then_some(&self.name)
    }

    /// What `name.as` says, or its default.
    pub fn template(&self) -> &str {
        &self.name
    }

    /// The groups that `name.as` names and `name.matches` does not have: they are empty in every name.
    pub fn missing_groups(&self) -> Vec<String> {
        match &self.matches {
            Some(regex) => regex.missing_groups(&self.name),
            None => GoRegex::parse(".*").map(|regex| regex.missing_groups(&self.name)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(matches: &str, name: &str) -> Naming {
        Naming::parse(Vec::new(), matches, name).unwrap()
    }

    fn name(matches: &str, template: &str, series: &str) -> Option<String> {
        naming(matches, template).metric_name(series)
    }

    #[test]
    fn without_a_name_the_metric_is_called_like_the_group_or_the_match() {
        assert_eq!(name("", "", "http_total").as_deref(), Some("http_total"));
        assert_eq!(name("^(.*)_total$", "", "http_total").as_deref(), Some("http"));
        assert_eq!(name("http", "", "x_http_total").as_deref(), Some("http"));
        let error = Naming::parse(Vec::new(), "(a)(b)", "").unwrap_err();
        assert_eq!(error, AdapterError::NoName { groups: 2 });
    }

    #[test]
    fn a_series_that_does_not_match_is_not_of_the_rule() {
        assert_eq!(name("^(.*)_total$", "${1}_per_second", "http_seconds"), None);
        assert_eq!(name("^(.*)_total$", "${1}_per_second", "http_total").as_deref(), Some("http_per_second"));
        assert_eq!(name("", "${0}_x", "a").as_deref(), Some("a_x"));
        assert_eq!(name("total", "constant", "http_total").as_deref(), Some("constant"));
    }

    #[test]
    fn a_constant_name_is_known_without_a_series() {
        assert_eq!(naming("", "queue_depth").constant(), Some("queue_depth"));
        assert_eq!((naming("", "").constant(), naming("(a)", "$1").constant()), (None, None));
        assert_eq!(naming("(a)", "$1_per_second").missing_groups(), ["1_per_second"]);
        assert_eq!(naming("", "$1").missing_groups(), ["1"]);
    }

    #[test]
    fn every_filter_has_to_take_the_name() {
        let filters = vec![
            SeriesFilter::parse("^container_", "").unwrap(),
            SeriesFilter::parse("", "_total$").unwrap(),
        ];
        let naming = Naming::parse(filters, "^container_(.*)$", "").unwrap();
        assert_eq!(naming.metric_name("container_memory").as_deref(), Some("memory"));
        assert_eq!(naming.metric_name("container_cpu_total"), None);
        assert_eq!(naming.metric_name("http"), None);
    }

    #[test]
    fn a_filter_has_exactly_one_expression() {
        assert_eq!(SeriesFilter::parse("", "").unwrap_err(), AdapterError::EmptyFilter);
        assert_eq!(SeriesFilter::parse("a", "b").unwrap_err(), AdapterError::DoubleFilter);
        assert!(matches!(
            SeriesFilter::parse("", "(").unwrap_err(),
            AdapterError::Regex { key: "isNot", .. }
        ));
    }
}
