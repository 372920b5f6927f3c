//! Content negotiation: which of the served media types an `Accept` header asks for.

use super::request::RequestError;
use super::table::TableVersion;

/// The media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// Plain JSON.
    Json,
    /// JSON as a `meta.k8s.io` Table.
    Table(TableVersion),
    /// JSON as aggregated discovery v2.
    Aggregated,
}

/// Which media types an endpoint offers besides plain JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// None.
    Json,
    /// The Table of a value list.
    Values,
    /// Aggregated discovery.
    Groups,
}

/// The best of the offered media types for `accept`; no header means JSON.
///
/// Clauses are ranked by quality, then by how specific they are, then by order. A clause that asks for something else
/// (`as=PartialObjectMetadata`, protobuf, YAML) is skipped, since clients list JSON as an alternative.
pub fn negotiate(accept: Option<&str>, offer: Offer) -> Result<Media, RequestError> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Ok(Media::Json) };
    let mut best: Option<(Rank, Media)> = None;
    for clause in accept.split(',') {
        if let Some((rank, media)) = Clause::parse(clause).served(offer)
            && best.is_none_or(|(highest, _)| rank > highest)
        {
            best = Some((rank, media));
        }
    }
    best.map(|(_, media)| media).ok_or(RequestError::NotAcceptable)
}

/// Quality in thousandths, then how specific the clause is.
type Rank = (u16, u8);

/// One clause of an `Accept` header.
struct Clause<'a> {
    media_type: &'a str,
    quality: u16,
    form: Option<&'a str>,
    group: Option<&'a str>,
    version: Option<&'a str>,
}

impl<'a> Clause<'a> {
    fn parse(clause: &'a str) -> Self {
        let mut parts = clause.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let mut parsed = Self { media_type, quality: 1000, form: None, group: None, version: None };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => parsed.quality = thousandths(value),
                "as" => parsed.form = Some(value),
                "g" => parsed.group = Some(value),
                "v" => parsed.version = Some(value),
                _ => {}
            }
        }
        parsed
    }

    fn served(&self, offer: Offer) -> Option<(Rank, Media)> {
        let specificity = match self.media_type {
            "application/json" => 2,
            "application/*" => 1,
            "*/*" => 0,
            _ => return None,
        };
        if self.quality == 0 {
            return None;
        }
        let media = match (self.form, self.group, self.version, offer) {
            (None, ..) => Media::Json,
            (Some("Table"), Some("meta.k8s.io"), Some("v1"), Offer::Values) => Media::Table(TableVersion::V1),
            (Some("Table"), Some("meta.k8s.io"), Some("v1beta1"), Offer::Values) => {
                Media::Table(TableVersion::V1Beta1)
            }
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2"), Offer::Groups) => {
                Media::Aggregated
            }
            _ => return None,
        };
        Some(((self.quality, specificity), media))
    }
}

/// `0.5` → 500; a malformed quality counts as 1, as in Go.
fn thousandths(quality: &str) -> u16 {
    let Ok(quality) = quality.trim().parse::<f32>() else { return 1000 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=1000; NaN becomes 0"
    )]
    let thousandths = (quality.clamp(0.0, 1.0) * 1000.0) as u16;
    thousandths
}

#[cfg(test)]
mod tests {
    use super::{Media, Offer, TableVersion, negotiate};

    #[track_caller]
    fn check(accept: &str, offer: Offer, expected: Option<Media>) {
        assert_eq!(negotiate(Some(accept), offer).ok(), expected, "{accept} {offer:?}");
    }

    #[test]
    fn the_headers_of_kubernetes_clients_are_understood() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                       application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        check(kubectl, Offer::Values, Some(Media::Table(TableVersion::V1)));
        check(kubectl, Offer::Json, Some(Media::Json));
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
            Offer::Values,
            Some(Media::Table(TableVersion::V1Beta1)),
        );
        check("application/vnd.kubernetes.protobuf, */*", Offer::Values, Some(Media::Json));
        check("application/json", Offer::Values, Some(Media::Json));
        let aggregator = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        check(aggregator, Offer::Groups, Some(Media::Aggregated));
        check(aggregator, Offer::Json, None);
        check(
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
            Offer::Groups,
            Some(Media::Json),
        );
    }

    #[test]
    fn no_header_means_json() {
        assert_eq!(negotiate(None, Offer::Values), Ok(Media::Json));
        check("", Offer::Values, Some(Media::Json));
    }

    #[test]
    fn clauses_are_ranked_by_quality_then_specificity_then_order() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        check(&format!("{table};q=0.5,application/json"), Offer::Values, Some(Media::Json));
        check(&format!("*/*,{table}"), Offer::Values, Some(Media::Table(TableVersion::V1)));
        check(&format!("application/*;q=0.9,{table};q=0.8"), Offer::Values, Some(Media::Json));
        check("application/json;q=0", Offer::Values, None);
    }

    #[test]
    fn other_media_types_are_refused() {
        check("text/html", Offer::Values, None);
        check("application/yaml", Offer::Values, None);
        check("application/vnd.kubernetes.protobuf", Offer::Values, None);
        check("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Offer::Values, None);
        check(";;;,,,=", Offer::Values, None);
    }
}
