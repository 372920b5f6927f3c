//! The picture: seconds on the left axis, replicas on the right, time below.

use super::watch::{Goal, Snapshot};
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (1100, 600);
const METRIC: RGBColor = RGBColor(31, 119, 180);
const TARGET: RGBColor = RGBColor(127, 127, 127);
const DESIRED: RGBColor = RGBColor(255, 127, 14);
const READY: RGBColor = RGBColor(44, 160, 44);
/// Room above the highest value, for the legend.
const HEADROOM: f64 = 1.25;

/// Draws the record as an SVG; nothing if nothing was seen.
pub(super) fn draw(path: &Path, record: &[Snapshot], goal: Goal) -> Result<()> {
    let (Some(first), Some(last)) = (record.first(), record.last()) else { return Ok(()) };
    let span = first.at.as_secs_f64()..last.at.as_secs_f64().max(first.at.as_secs_f64() + 1.0);
    paint(path, record, goal, span).map_err(|error| anyhow!("drawing {}: {error}", path.display()))
}

fn paint(
    path: &Path,
    record: &[Snapshot],
    goal: Goal,
    span: std::ops::Range<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let peak = record.iter().filter_map(|it| it.metric).fold(goal.target, f64::max) * HEADROOM;
    let mut chart = ChartBuilder::on(&root)
        .caption("An HPA scales inference-svc on its time per request", ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(60)
        .right_y_label_area_size(60)
        .build_cartesian_2d(span.clone(), 0.0..peak)?
        .set_secondary_coord(span.clone(), 0.0..f64::from(goal.max) * HEADROOM);
    let font = ("sans-serif", 15);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds since the start")
        .y_desc("seconds per request")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .label_style(font)
        .axis_desc_style(font)
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_desc("replicas")
        .y_labels(usize::try_from(goal.max)? + 2)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(font)
        .axis_desc_style(font)
        .draw()?;
    let metric = record.iter().filter_map(|it| Some((it.at.as_secs_f64(), it.metric?)));
    let target = [(span.start, goal.target), (span.end, goal.target)];
    let legend =
        |color: RGBColor| move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(3));
    chart
        .draw_series(LineSeries::new(metric, METRIC.stroke_width(2)))?
        .label("metric")
        .legend(legend(METRIC));
    chart
        .draw_series(LineSeries::new(target, TARGET.stroke_width(1)))?
        .label("target")
        .legend(legend(TARGET));
    for (label, color, replicas) in [
        ("desired replicas", DESIRED, (|it: &Snapshot| it.desired) as fn(&Snapshot) -> i32),
        ("ready replicas", READY, |it| it.ready),
    ] {
        let series = LineSeries::new(steps(record, replicas), color.stroke_width(2));
        chart.draw_secondary_series(series)?.label(label).legend(legend(color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(TARGET)
        .label_font(font)
        .legend_area_size(30)
        .margin(8)
        .draw()?;
    Ok(root.present()?)
}

/// Replicas jump: each value lasts until the next one is seen.
fn steps(record: &[Snapshot], replicas: fn(&Snapshot) -> i32) -> Vec<(f64, f64)> {
    let points = record.iter().map(|it| (it.at.as_secs_f64(), f64::from(replicas(it))));
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (at, value) in points {
        match steps.last() {
            Some(&(_, last)) if last.total_cmp(&value).is_ne() => steps.extend([(at, last), (at, value)]),
            _ => steps.push((at, value)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::story::Phase;
    use super::*;
    use std::time::Duration;

    fn record() -> [Snapshot; 3] {
        [(1, None, 1), (3, Some(2.5), 1), (5, Some(1.0), 2)].map(|(at, metric, ready)| {
            let at = Duration::from_secs(at);
            Snapshot { at, phase: Phase::ScaleOut, metric, current: None, desired: 2, ready }
        })
    }

    #[test]
    fn replicas_jump_when_the_change_is_seen() {
        assert_eq!(steps(&record(), |it| it.ready), [(1.0, 1.0), (3.0, 1.0), (5.0, 1.0), (5.0, 2.0)]);
    }

    #[test]
    fn the_picture_names_its_axes_and_all_four_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("demo.svg");
        draw(&path, &record(), Goal { min: 1, max: 2, target: 1.5 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for word in
            ["seconds per request", "replicas", "metric", "target", "desired replicas", "ready replicas"]
        {
            assert!(text.contains(word), "{word} is missing");
        }
        assert!(text.matches("<polyline").count() >= 4);
    }
}
