//! The call that asks a server what it is.

use std::borrow::Cow;
use std::time::Duration;

use super::annotations::Annotations;
use super::body::Body;
use super::call::Call;
use super::decode::{self, DecodeError, Engine};

/// `/api/v1/status/buildinfo`.
pub(super) struct BuildInfo;

impl Call for BuildInfo {
    type Content = Engine;

    const PATH: &'static str = "api/v1/status/buildinfo";

    const ACCEPT_ENCODING: &'static str = "identity";

    fn parameters(&self, _: Duration) -> Vec<(&'static str, Cow<'_, str>)> {
        Vec::new()
    }

    async fn decode(&self, body: Body<'_>) -> Result<(Engine, Annotations), DecodeError> {
        body.decode_whole(decode::engine).await
    }
}
