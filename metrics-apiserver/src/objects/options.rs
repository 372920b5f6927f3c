//! The settings of the room.

use std::time::Duration;

/// prometheus-adapter's defaults for live lists: five a second, ten at once.
const DEFAULT_QPS: f32 = 5.0;
const DEFAULT_BURST: u32 = 10;
/// A refresh is two requests that are mostly answered "not modified". A new CRD is found earlier if it is asked for.
const DEFAULT_DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
/// Below this rate a single list would keep all others waiting for longer than any read waits.
const MIN_QPS: f32 = 0.01;

/// How often the Kubernetes API is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Live lists per second.
    pub(super) qps: f32,
    /// Live lists that may be sent at once; none: no limit at all.
    pub(super) burst: Option<u32>,
    /// The interval of discovery.
    pub(super) discovery_interval: Duration,
}

impl Options {
    /// By the flags `--client-qps`, `--client-burst` and `--discovery-interval`. Zero is the default; a negative rate
    /// or burst is no limit, as in client-go.
    pub fn new(qps: f32, burst: i32, discovery_interval: Duration) -> Self {
        let is_unlimited = qps < 0.0 || burst < 0;
        let burst = u32::try_from(burst).ok().filter(|burst| *burst > 0).unwrap_or(DEFAULT_BURST);
        let is_set = !discovery_interval.is_zero();
        Self {
            qps: if qps > 0.0 { qps.max(MIN_QPS) } else { DEFAULT_QPS },
            burst: (!is_unlimited).then_some(burst),
            discovery_interval: if is_set { discovery_interval } else { DEFAULT_DISCOVERY_INTERVAL },
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(0.0, 0, Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_default_and_a_negative_rate_is_no_limit() {
        let options = Options::default();
        assert_eq!((options.qps, options.burst), (5.0, Some(10)));
        assert_eq!(options.discovery_interval, Duration::from_secs(30));
        assert_eq!(Options::new(-1.0, 7, Duration::ZERO).burst, None);
        assert_eq!(Options::new(1.0, -1, Duration::ZERO).burst, None);
        let options = Options::new(50.0, 100, Duration::from_secs(5));
        assert_eq!((options.qps, options.burst), (50.0, Some(100)));
        assert_eq!(options.discovery_interval, Duration::from_secs(5));
    }
}
