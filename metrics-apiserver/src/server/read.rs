//! A read of one external metric in one namespace.

use jiff::Timestamp;
use tokio::time::Instant;

use super::reply::Response;
use super::request::Request;
use super::{Shared, reply};
use crate::api::{Error, Media, Offer, RequestError, pretty, table, value_list, value_list_bytes};
use crate::metric::{MetricName, Namespace, Selector, Value};

/// Parses the names and the selector, asks, and writes the answer in the form the client wants.
pub(super) async fn external(
    shared: &Shared,
    request: &Request<'_>,
    namespace: &str,
    metric: &str,
) -> Result<Response, Error> {
    if request.parameters.watch {
        return Err(RequestError::Watch.into());
    }
    let media = request.media(Offer::Values)?;
    let namespace = Namespace::parse(namespace).map_err(RequestError::Namespace)?;
    let metric = MetricName::parse(metric).map_err(RequestError::Metric)?;
    let selector: Selector = request.parameters.label_selector.parse().map_err(RequestError::Selector)?;
    let deadline = Instant::now() + shared.limits.read_deadline(request.parameters.timeout);
    let answer = shared.answers.external(&namespace, &metric, &selector, deadline).await?;
    let metric = answer.metric.as_str();
    let permit = shared.large.acquire(bytes(media, request, metric, &answer.values), deadline).await?;
    let body = match media {
        Media::Table(version) => table(version, metric, &namespace, &answer.values, Timestamp::now()),
        _ => value_list(metric, &answer.values),
    };
    let body = if request.is_pretty() { pretty(&body) } else { body };
    Ok(reply::json(permit.hold(body)))
}

/// About how large an answer will be.
fn bytes(media: Media, request: &Request<'_>, metric: &str, values: &[Value]) -> usize {
    let bytes = value_list_bytes(metric, values);
    // A table is built of texts before it is written; one indented is made of one that is not.
    if request.is_pretty() || matches!(media, Media::Table(_)) { 2 * bytes } else { bytes }
}
