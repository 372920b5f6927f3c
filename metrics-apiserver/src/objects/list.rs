//! Lists objects page by page, and passes each one on as it arrives.

use kube::Client;
use tokio::time::Instant;

use super::error::RequestError;
use super::key::{ACCEPT_LIST, Key};
use super::request;
use super::wire::{ListMetadata, Metadata, PartialObject};
use crate::metric::{Namespace, Selector};

/// Bytes of one page. kube-apiserver may send all objects as one page if it lists from memory.
const PAGE_BYTES_MAX: usize = 1 << 30;

/// What to list.
pub(super) struct List<'a> {
    pub(super) key: &'a Key,
    pub(super) namespace: Option<&'a Namespace>,
    pub(super) selector: Option<&'a Selector>,
    /// Whether any version that kube-apiserver has in memory will do.
    pub(super) is_cached: bool,
}

impl List<'_> {
    /// Calls `take` with the metadata of each object; returns the version of the list.
    pub(super) async fn read(
        &self,
        client: &Client,
        deadline: Instant,
        take: &mut (dyn FnMut(Metadata) -> Result<(), RequestError> + Send),
    ) -> Result<String, RequestError> {
        let mut page = ListMetadata::default();
        loop {
            let target =
                self.key.list_target(self.namespace, self.selector, self.is_cached, &page.r#continue);
            let response = request::get(client, &target, ACCEPT_LIST, None).await?;
            page = ListMetadata::default();
            let mut take_piece = |field: &str, piece: &[u8]| match field {
                "items" => take(serde_json::from_slice::<PartialObject>(piece)?.metadata),
                "metadata" => {
                    page = serde_json::from_slice(piece)?;
                    Ok(())
                }
                _ => Ok(()),
            };
            response.read(&["items"], PAGE_BYTES_MAX, deadline, &mut take_piece).await?;
            if page.r#continue.is_empty() {
                return Ok(page.resource_version);
            }
        }
    }
}
