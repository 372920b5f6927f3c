//! The calls of the Prometheus HTTP API: what is sent, whether it is compressed, and how the response is decoded.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use super::annotations::Annotations;
use super::body::Body;
use super::decode::{self, DecodeError, SeriesSummary};
use crate::metric::{Namespace, Sample};

/// Calls at one server at once: with two replicas as many as Prometheus runs (`--query.max-concurrency` 20).
pub(super) const CALLS_MAX: usize = 10;

/// The largest response to a series call, decompressed: half a million series of 500 bytes.
const SERIES_BYTES_MAX: usize = 256 << 20;
const SERIES_LIMIT: &str = "256 MiB";

/// A kind of call.
pub(super) trait Call: Sync {
    /// What a response holds.
    type Content: Send;

    /// Below the backend's URL.
    const PATH: &'static str;

    /// The encoding that is asked for. A response in another one is read as well.
    const ACCEPT_ENCODING: &'static str;

    /// How long the call may take, trying several servers included, if a query may take `configured`.
    fn timeout(&self, configured: Duration) -> Duration {
        configured
    }

    /// The namespace that it is sent for, if it is sent for one.
    fn namespace(&self) -> Option<&Namespace> {
        None
    }

    /// The parameters of a request that may take so long.
    fn parameters(&self, allowed: Duration) -> Vec<(&'static str, Cow<'_, str>)>;

    /// Reads and decodes a response with a status of success.
    fn decode(
        &self,
        body: Body<'_>,
    ) -> impl Future<Output = Result<(Self::Content, Annotations), DecodeError>> + Send;
}

/// An instant query.
#[derive(Debug, Clone, Copy)]
pub(super) struct InstantQuery<'a> {
    pub(super) promql: &'a str,
    pub(super) namespace: Option<&'a Namespace>,
}

impl Call for InstantQuery<'_> {
    type Content = Vec<Sample>;

    const PATH: &'static str = "api/v1/query";

    /// An HPA reads one sample, and compressing that costs Prometheus more than the rest of the query: 0.74 ms of CPU
    /// instead of 0.12 ms.
    const ACCEPT_ENCODING: &'static str = "identity";

    fn namespace(&self) -> Option<&Namespace> {
        self.namespace
    }

    fn parameters(&self, allowed: Duration) -> Vec<(&'static str, Cow<'_, str>)> {
        let timeout = format!("{}ms", allowed.as_millis());
        vec![("query", self.promql.into()), ("timeout", timeout.into())]
    }

    async fn decode(&self, body: Body<'_>) -> Result<(Vec<Sample>, Annotations), DecodeError> {
        body.decode_whole(decode::vector).await
    }
}

/// Which series to list: those that match one of the matchers and have a sample since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// Series selectors such as `{__name__=~"^http_.*"}`, at least one.
    pub matchers: Vec<String>,
    /// The beginning of the range, which ends now.
    pub start: Timestamp,
    /// How long the call may take, in place of the backend's timeout, which is made for queries.
    pub timeout: Duration,
}

impl Call for SeriesQuery {
    type Content = SeriesSummary;

    const PATH: &'static str = "api/v1/series";

    /// A list of series compresses to a tenth or less.
    const ACCEPT_ENCODING: &'static str = "gzip";

    fn timeout(&self, _: Duration) -> Duration {
        self.timeout
    }

    fn parameters(&self, _: Duration) -> Vec<(&'static str, Cow<'_, str>)> {
        let matchers = self.matchers.iter().map(|matcher| ("match[]", matcher.into()));
        // As prometheus-adapter sends it, for proxies that know its requests: seconds since 1970, and no end.
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit for ages")]
        let start = self.start.as_millisecond() as f64 / 1000.0;
        matchers.chain([("start", start.to_string().into())]).collect()
    }

    async fn decode(&self, body: Body<'_>) -> Result<(SeriesSummary, Annotations), DecodeError> {
        body.decode_stream((SERIES_BYTES_MAX, SERIES_LIMIT), |body| decode::series(body)).await
    }
}
