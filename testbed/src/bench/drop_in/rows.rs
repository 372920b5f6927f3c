//! The figures beside their goals.

use super::{DropIn, Measured};
use crate::bench::{
    goals::{Row, halves, none_failed, short},
    latency::Latency,
};

/// Whatever the number of series is: names, their sets of labels and what serves them.
const MEMORY_MB: f64 = 40.0;
/// Of a core, with a list of all series every 30 s.
const IDLE_CPU_PERCENT: f64 = 2.0;

impl DropIn {
    pub(in crate::bench) fn rows(&self, rows: &mut Vec<Row>) {
        let (ours, adapter) = (&self.ours, &self.adapter);
        let what = |what: &str| format!("drop-in: {what}");
        let both = |name: &str, value: fn(&Measured) -> String| {
            Row::seen(
                &what(&format!("{name}: ours, prometheus-adapter")),
                value(ours) + ", " + &value(adapter),
            )
        };
        rows.push(Row::seen(&what("series, pods"), format!("{}, {}", self.series, self.pods)));
        rows.push(both("custom metrics that are listed", |one| one.metrics.to_string()));
        rows.push(both("start → all metrics served", |one| {
            format!("{} s", short(one.settled_after_seconds))
        }));
        let memory = |name: &str, value: f64| Row::at_most(&what(name), "MB", value, MEMORY_MB);
        rows.push(memory("memory, idle", ours.idle_memory.resident_mb));
        rows.push(memory("greatest memory until then", ours.idle_memory.peak_mb));
        rows.push(memory("greatest memory until the end", ours.memory.peak_mb));
        rows.push(both("memory, idle", |one| format!("{} MB", short(one.idle_memory.resident_mb))));
        rows.push(both("greatest memory until then", |one| format!("{} MB", short(one.idle_memory.peak_mb))));
        rows.push(both("greatest memory until the end", |one| format!("{} MB", short(one.memory.peak_mb))));
        let idle = (what("processor time, idle"), ours.idle_cpu_percent, IDLE_CPU_PERCENT);
        rows.push(Row::at_most(&idle.0, "% of a core", idle.1, idle.2));
        rows.push(both("processor time, idle", |one| format!("{} %", short(one.idle_cpu_percent))));
        rows.push(both("67/s: processor time", |one| format!("{} %", short(one.cpu_percent))));
        rows.push(both("67/s: read p50 / p99", |one| halves(&one.reads)));
        let late = |one: &Measured| format!("{} ms", short(one.reads.sent_late_p99_ms));
        rows.push(both("67/s: sent late by the load generator, p99", late));
        let p99 = |latency: &Latency| latency.p99_ms;
        rows.push(Row::part_of(&what("67/s: read p99"), "ms", p99(&ours.reads), p99(&adapter.reads), 5.0));
        rows.push(none_failed(&what("67/s: failed reads"), &ours.reads));
        rows.push(both("67/s: failed reads", |one| format!("{} of {}", one.reads.failed, one.reads.reads)));
        let (apart, theirs) = (median(&ours.top.apart_ms), median(&adapter.top.apart_ms));
        rows.push(Row::part_of(&what("kubectl top pods -A"), "ms", apart, theirs, 2.0));
        let times = |one: &Measured| format!("{} ms", short(median(&one.top.repeated_ms)));
        rows.push(both("kubectl top pods -A, again at once", times));
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
