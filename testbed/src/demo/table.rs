//! The lines while it runs, and the summary.

use super::{
    Start,
    story::Story,
    watch::{Goal, Snapshot},
};
use comfy_table::{Table, presets::NOTHING};
use std::time::Duration;

/// The heads of the columns.
pub(super) fn header() -> String {
    row(["seconds", "phase", "metric s", "hpa current/target s", "desired", "ready"])
}

/// One moment.
pub(super) fn line(snapshot: &Snapshot, goal: Goal) -> String {
    row([
        &format!("{:.1}", snapshot.at.as_secs_f64()),
        snapshot.phase.name(),
        &number(snapshot.metric),
        &format!("{}/{:.2}", number(snapshot.current), goal.target),
        &snapshot.desired.to_string(),
        &snapshot.ready.to_string(),
    ])
}

/// Whether a moment is worth a line: replicas have changed, or the last line is old.
pub(super) fn is_due(last: &Snapshot, now: &Snapshot, pace: Duration) -> bool {
    (last.phase, last.desired, last.ready) != (now.phase, now.desired, now.ready)
        || now.at.abs_diff(last.at) >= pace
}

/// What it came to.
pub(super) fn summary(start: &Start, story: &Story, total: Duration) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let seconds = |time: Option<Duration>| {
        time.map_or_else(|| "never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    table.add_row(["APIService Available after the server", &seconds(Some(start.available))]);
    table.add_row(["first answer", &seconds(Some(start.first_answer))]);
    table.add_row(["load started", &seconds(story.load_started)]);
    table.add_row(["scale-out started", &seconds(story.scale_out_started)]);
    table.add_row(["all of the maximum ready", &seconds(story.max_reached)]);
    table.add_row(["back at the minimum", &seconds(story.back_at_min)]);
    table.add_row(["highest metric", &format!("{} s", number(story.peak))]);
    table.add_row(["whole run", &seconds(Some(total))]);
    format!("\nSummary (times since the cluster was started)\n{table}\n")
}

fn row(cells: [&str; 6]) -> String {
    let [seconds, phase, metric, hpa, desired, ready] = cells;
    format!("{seconds:>8}  {phase:<9}  {metric:>8}  {hpa:>20}  {desired:>7}  {ready:>5}")
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use super::super::story::Phase;
    use super::*;

    fn seen(at: u64, ready: i32) -> Snapshot {
        let at = Duration::from_secs(at);
        Snapshot { at, phase: Phase::ScaleOut, metric: Some(2.5), current: None, desired: 3, ready }
    }

    #[test]
    fn a_line_stands_under_its_header() {
        let goal = Goal { min: 1, max: 4, target: 1.5 };
        let (header, line) = (header(), line(&seen(12, 2), goal));
        assert_eq!(header.len(), line.len());
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["12.0", "scale", "out", "2.50", "-/1.50", "3", "2"]
        );
    }

    #[test]
    fn a_line_is_due_at_a_change_or_when_the_last_is_old() {
        let pace = Duration::from_secs(2);
        assert!(!is_due(&seen(10, 2), &seen(11, 2), pace));
        assert!(is_due(&seen(10, 2), &seen(11, 3), pace));
        assert!(is_due(&seen(10, 2), &seen(12, 2), pace));
    }
}
