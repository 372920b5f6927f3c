//! The rounds: what is done in each, and what the HPA must be told.

use crate::Fault;
use std::time::Duration;

/// Longer than the read deadline of 1 s.
pub(super) const SLOW: Duration = Duration::from_secs(3);

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// The group it belongs to.
    pub letter: char,
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    pub(super) kind: Kind,
    /// What the HPA's condition must say, once its rule's reading is too old.
    pub(super) cause: Option<&'static str>,
}

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stopped,
    Hung,
    Injected(Fault),
    Restarted,
    Killed,
    Rolled,
    BrokenConfig,
    Rotated,
}

impl Kind {
    /// Whether every read must succeed, and a failed one counts as a problem.
    pub(super) fn loses_no_read(self) -> bool {
        matches!(self, Self::Rolled | Self::BrokenConfig | Self::Rotated)
    }

    /// How long to look on when all is well again: what comes back empty fills by and by, and a wrong number could come
    /// then.
    pub(super) fn watched_after(self, length: Duration) -> Duration {
        if matches!(self, Self::Restarted | Self::Killed) { length / 2 } else { Duration::ZERO }
    }

    /// Whether readings outlive the fault: not the server that remembers them.
    pub(super) fn leaves_cache(self) -> bool {
        self != Self::Killed
    }

    /// Whether the `APIService` must be Available all the time: not while nobody serves it.
    pub(super) fn stays_available(self) -> bool {
        self != Self::Killed
    }
}

/// All rounds, in their order.
pub const ROUNDS: [Round; 22] = [
    told('a', "stopped", "Prometheus is stopped", Kind::Stopped, "not reachable"),
    told('b', "hung", "Prometheus hangs (SIGSTOP)", Kind::Hung, "did not answer"),
    injected('c', "error-500", "HTTP 500", Fault::InternalError, "not reachable"),
    injected('d', "empty", "no series", Fault::Empty, "no data"),
    injected('e', "nan", "NaN", Fault::Value("NaN"), "NaN"),
    injected('f', "plus-infinity", "+Inf", Fault::Value("+Inf"), "+Inf"),
    injected('f', "minus-infinity", "-Inf", Fault::Value("-Inf"), "-Inf"),
    injected('f', "overlarge", "1e300", Fault::Value("1e300"), "too large"),
    injected('f', "negative", "-5", Fault::Value("-5"), "the value is -5"),
    injected('g', "two-series", "two series", Fault::TwoSeries, "2 series"),
    injected('h', "cut-off", "half of the JSON", Fault::CutOff, "cannot be read"),
    injected('h', "broken-off", "the connection ends half way", Fault::BrokenOff, "cannot be read"),
    injected('h', "garbage", "a page, no JSON", Fault::Garbage, "cannot be read"),
    injected('h', "error-200", "HTTP 200, status: error", Fault::ErrorStatus, "refused"),
    injected('h', "partial", "half of each value, and a warning", Fault::Partial, "partial answer"),
    injected('i', "slow", "answers take 3 s", Fault::Slow(SLOW), "did not answer"),
    injected('i', "silent", "no answer at all", Fault::Silence, "did not answer"),
    told('j', "restarted", "Prometheus is away for a while", Kind::Restarted, "not reachable"),
    told('k', "killed", "every server killed, started again", Kind::Killed, "unable to handle the request"),
    unnoticed('l', "rolled", "two replicas replaced by SIGTERM", Kind::Rolled),
    unnoticed('m', "broken-config", "a broken configuration", Kind::BrokenConfig),
    unnoticed('n', "rotated", "a new serving certificate and CA", Kind::Rotated),
];

/// The rounds of this name or letter.
pub fn named(name: &str) -> Vec<Round> {
    let is = |round: &Round| round.name == name || name.chars().eq([round.letter]);
    ROUNDS.into_iter().filter(is).collect()
}

/// A round whose cause an HPA must be told.
const fn told(
    letter: char,
    name: &'static str,
    what: &'static str,
    kind: Kind,
    cause: &'static str,
) -> Round {
    Round { letter, name, what, kind, cause: Some(cause) }
}

const fn injected(
    letter: char,
    name: &'static str,
    what: &'static str,
    fault: Fault,
    cause: &'static str,
) -> Round {
    told(letter, name, what, Kind::Injected(fault), cause)
}

/// A round that no HPA may notice.
const fn unnoticed(letter: char, name: &'static str, what: &'static str, kind: Kind) -> Round {
    Round { letter, name, what, kind, cause: None }
}
