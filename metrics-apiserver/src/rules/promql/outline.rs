//! What a query returns, as far as its text says it.

/// What is known about the result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The labels that tell its series apart.
    pub labels: ResultLabels,
    /// Whether the query is nothing but a selector of series.
    pub is_selector: bool,
}

/// The labels that tell the series of a result apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultLabels {
    /// At most these: the query aggregates by them.
    Only(Vec<String>),
    /// Those of the series that are read: the query does not aggregate.
    AllOfSeries,
    /// The text does not say.
    Unknown,
}
