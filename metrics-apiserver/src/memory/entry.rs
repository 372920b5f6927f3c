//! What is known about one question: its last reading, the fetch in flight, and its reads' rhythm.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Reading;
use super::flight::{Flight, Outcome};
use crate::rhythm::Rhythm;

/// How long a good reading is kept though nobody reads: the longest hold that a rule may have.
const GOOD_KEPT_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Entry {
    /// Since when it is known: a fetch begun before was for a backend that is forgotten.
    since: Instant,
    last_read: Instant,
    kept: Option<Arc<Reading>>,
    /// The last reading that a rule with a hold called good.
    good: Option<Arc<Reading>>,
    flight: Option<Flight>,
    rhythm: Rhythm,
    /// What the last fetches took at most; the longest are slowly forgotten.
    took: Duration,
    /// Where in the window over which fetches are spread this question has its place, in 256ths.
    place: u8,
}

impl Entry {
    pub(super) fn new(now: Instant, place: u8) -> Self {
        Self {
            since: now,
            last_read: now,
            kept: None,
            good: None,
            flight: None,
            rhythm: Rhythm::default(),
            took: Duration::ZERO,
            place,
        }
    }

    /// Takes note of a read; gives the reading that is young enough for it, and whether it should be fetched anew
    /// although it is: nothing has run ahead of this read, and the reading will be too old for the next ones.
    pub(super) fn read(
        &mut self,
        now: Instant,
        max_age: Duration,
        spread: Duration,
    ) -> Option<(Arc<Reading>, bool)> {
        self.last_read = now;
        // Zero means "always ask", even within one tick of the clock; nothing can run ahead of that.
        if max_age.is_zero() {
            return None;
        }
        let lead = self.lead(max_age, spread);
        let is_demand = self.rhythm.read(now, max_age, lead);
        let kept = self.kept.as_ref()?;
        let age = now.saturating_duration_since(kept.asked);
        let is_ageing = is_demand && age > max_age.saturating_sub(lead);
        (age <= max_age).then(|| (Arc::clone(kept), is_ageing))
    }

    /// When the fetch for the next read is to be sent.
    pub(super) fn due(&self, spread: Duration) -> Option<Instant> {
        self.rhythm.due(self.lead(self.rhythm.max_age(), spread))
    }

    /// The fetch for the next read need not, or can't, be sent a second time.
    pub(super) fn fetched_ahead(&mut self) {
        self.rhythm.fetched();
    }

    /// The fetch in flight, if there is one.
    pub(super) fn in_flight(&self) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| !flight.is_over())
    }

    pub(super) fn take_off(&mut self, flight: Flight) {
        self.flight = Some(flight);
    }

    /// Keeps what the fetch begun at `began` gave by `now`; a failure leaves the reading before it in place.
    pub(super) fn land(&mut self, began: Instant, now: Instant, outcome: &Outcome) {
        if began < self.since {
            return;
        }
        self.flight = None;
        if let Ok(reading) = outcome {
            let took = now.saturating_duration_since(began);
            self.took = took.max(self.took * 7 / 8);
            self.kept = Some(Arc::clone(reading));
        }
    }

    /// Keeps a good reading, unless a newer one is kept.
    pub(super) fn keep_good(&mut self, reading: &Arc<Reading>) {
        if self.good.as_ref().is_none_or(|good| good.asked < reading.asked) {
            self.good = Some(Arc::clone(reading));
        }
    }

    pub(super) fn last_good(&self) -> Option<Arc<Reading>> {
        self.good.clone()
    }

    pub(super) fn last_read(&self) -> Instant {
        self.last_read
    }

    /// Nobody has read for so long that nobody will.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.last_read);
        let held = if self.good.is_some() { GOOD_KEPT_MAX } else { Duration::ZERO };
        silence > self.rhythm.silence_max().max(held) && self.in_flight().is_none()
    }

    /// Whether fetches run ahead of its reads.
    pub(super) fn is_steady(&self) -> bool {
        self.rhythm.is_steady()
    }

    /// Samples kept.
    pub(super) fn samples(&self) -> usize {
        self.kept.as_ref().map_or(0, |reading| reading.samples.len())
    }

    /// How long before a read its fetch is to be sent: the time it takes, a margin, and this question's place within
    /// the time over which fetches are spread, as far as the reading stays young enough.
    fn lead(&self, max_age: Duration, spread: Duration) -> Duration {
        let needed = self.took + self.rhythm.margin();
        let room = max_age.saturating_sub(needed) / 2;
        needed + spread.min(room) * u32::from(self.place) / 256
    }
}
