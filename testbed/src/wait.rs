//! Waiting for a condition instead of sleeping and hoping.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Between two looks: short beside everything waited for, long beside the cost of a look.
const PAUSE: Duration = Duration::from_millis(50);

/// Calls `probe` until it gives `Some`, and returns that.
///
/// `Ok(None)` and `Err` both mean "not yet"; when `limit` has passed, the error names `what` and quotes the last
/// failure.
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + limit;
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => last = None,
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = last.or_else(|| Some(anyhow::anyhow!("the last look did not end in time"))),
        }
        if Instant::now() + PAUSE >= deadline {
            match last {
                Some(error) => return Err(error.context(format!("waited {limit:?} for {what}"))),
                None => bail!("waited {limit:?} for {what}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
