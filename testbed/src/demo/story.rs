//! What a record of the run tells: pure, so that the verdict can be tested.

use super::watch::{Goal, Snapshot};
use std::time::Duration;

/// What the workload is to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Under load, to the maximum.
    ScaleOut,
    /// Still under load, at the maximum: the metric shows what the pods were good for.
    Settle,
    /// Without load, to the minimum.
    ScaleIn,
}

impl Phase {
    /// Its word in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ScaleOut => "scale out",
            Self::Settle => "settle",
            Self::ScaleIn => "scale in",
        }
    }

    /// Whether it has got where it was to go: wanted by the HPA, and ready.
    pub(super) fn is_over(self, snapshot: &Snapshot, goal: Goal) -> bool {
        let replicas = match self {
            Self::ScaleOut | Self::Settle => goal.max,
            Self::ScaleIn => goal.min,
        };
        snapshot.phase == self && snapshot.desired == replicas && snapshot.ready == replicas
    }
}

/// When things happened, since the start; none if they did not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Story {
    pub(super) load_started: Option<Duration>,
    pub(super) scale_out_started: Option<Duration>,
    pub(super) max_reached: Option<Duration>,
    pub(super) back_at_min: Option<Duration>,
    pub(super) peak: Option<f64>,
}

impl Story {
    /// What the record, in the order of time, tells.
    pub(super) fn of(record: &[Snapshot], goal: Goal) -> Self {
        let first = |is: &dyn Fn(&Snapshot) -> bool| record.iter().find(|it| is(it)).map(|it| it.at);
        Self {
            load_started: first(&|it| it.phase == Phase::ScaleOut),
            scale_out_started: first(&|it| it.desired > goal.min),
            max_reached: first(&|it| Phase::ScaleOut.is_over(it, goal)),
            back_at_min: first(&|it| Phase::ScaleIn.is_over(it, goal)),
            peak: record.iter().filter_map(|it| it.metric).max_by(f64::total_cmp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal { min: 1, max: 3, target: 1.5 };

    fn seen(at: u64, phase: Phase, metric: f64, desired: i32, ready: i32) -> Snapshot {
        let at = Duration::from_secs(at);
        Snapshot { at, phase, metric: Some(metric), current: None, desired, ready }
    }

    #[test]
    fn a_phase_is_over_only_when_what_the_hpa_wants_is_ready() {
        assert!(!Phase::ScaleOut.is_over(&seen(1, Phase::ScaleOut, 5.0, 3, 2), GOAL));
        assert!(Phase::ScaleOut.is_over(&seen(2, Phase::ScaleOut, 5.0, 3, 3), GOAL));
        assert!(!Phase::ScaleIn.is_over(&seen(3, Phase::ScaleIn, 0.0, 2, 1), GOAL));
        assert!(Phase::ScaleIn.is_over(&seen(4, Phase::ScaleIn, 0.0, 1, 1), GOAL));
    }

    #[test]
    fn a_single_pod_before_the_load_is_not_yet_the_way_back() {
        let record = [seen(1, Phase::ScaleOut, 0.0, 1, 1), seen(2, Phase::ScaleOut, 9.0, 3, 1)];
        let story = Story::of(&record, GOAL);
        assert_eq!(story.scale_out_started, Some(Duration::from_secs(2)));
        assert_eq!((story.max_reached, story.back_at_min), (None, None));
        assert_eq!(story.peak, Some(9.0));
    }

    #[test]
    fn a_whole_run_has_all_its_times() {
        let record = [
            seen(1, Phase::ScaleOut, 0.0, 1, 1),
            seen(3, Phase::ScaleOut, 6.0, 3, 1),
            seen(5, Phase::ScaleOut, 4.0, 3, 3),
            seen(9, Phase::ScaleIn, 0.0, 1, 1),
        ];
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let expected = Story {
            load_started: seconds(1),
            scale_out_started: seconds(3),
            max_reached: seconds(5),
            back_at_min: seconds(9),
            peak: Some(6.0),
        };
        assert_eq!(Story::of(&record, GOAL), expected);
    }
}
