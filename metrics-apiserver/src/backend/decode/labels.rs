//! What the decoders share: the labels of a series, and strings that are not kept.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Visitor};

/// Labels of one series; Mimir refuses series with more than 40.
pub(super) const SERIES_LABELS_MAX: usize = 256;
pub(super) const SERIES_LABELS_LIMIT: &str = "256 labels in a series";

/// The label with a series' metric name.
pub(super) const NAME_LABEL: &str = "__name__";

/// Passes a string to a function, without allocating.
pub(super) struct Str<F>(pub(super) F);

impl<'de, R, F: FnOnce(&str) -> R> DeserializeSeed<'de> for Str<F> {
    type Value = R;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<R, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<R, F: FnOnce(&str) -> R> Visitor<'_> for Str<F> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<R, E> {
        Ok((self.0)(text))
    }
}
