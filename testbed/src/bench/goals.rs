//! The figures beside their goals. Goals are ratios within one run; milliseconds are shown, not judged.

use super::{
    Report, Stolen, hang::Hang, latency::Latency, memory::Growth, peer::Peer, rate::Round, reload::Reload,
    tally::Tally,
};
use serde::Serialize;

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it was.
    pub measured: String,
    /// What it should be; empty for a figure to compare with.
    pub goal: String,
    /// Whether it is; none without a goal, or if it could not be measured.
    pub reached: Option<bool>,
}

impl Row {
    pub(super) fn met(what: &str, measured: String, goal: &str, reached: bool) -> Self {
        Self { what: what.to_owned(), measured, goal: goal.to_owned(), reached: Some(reached) }
    }

    pub(super) fn seen(what: &str, measured: String) -> Self {
        Self { what: what.to_owned(), measured, goal: String::new(), reached: None }
    }

    pub(super) fn at_most(what: &str, unit: &str, value: f64, goal: f64) -> Self {
        Self::met(what, with(&short(value), unit), &with(&format!("≤ {goal}"), unit), value <= goal)
    }

    /// Ours is to be at most one part in `goal` of the adapter's.
    pub(super) fn part_of(what: &str, unit: &str, ours: f64, adapter: f64, goal: f64) -> Self {
        let part = adapter / ours.max(1e-6);
        let text = format!("{} of {} {unit}: 1/{part:.1}", short(ours), short(adapter));
        Self::met(what, text, &format!("≤ 1/{goal}"), part >= goal)
    }
}

fn with(number: &str, unit: &str) -> String {
    format!("{number} {unit}").trim_end().to_owned()
}

/// The slowest read, and how much of that was over before it was sent.
fn slowest(latency: &Latency) -> String {
    format!("{} ms, sent {} ms late", short(latency.max_ms), short(latency.max_sent_late_ms))
}

pub(super) fn halves(latency: &Latency) -> String {
    format!("{} / {} ms", short(latency.p50_ms), short(latency.p99_ms))
}

/// Three digits or more.
pub(super) fn short(value: f64) -> String {
    let decimals = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

impl Report {
    /// The table.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(measured) = &self.peer {
            peer(measured, &mut rows);
        }
        for measured in &self.rounds {
            variant(measured, &mut rows);
        }
        if let Some(growth) = &self.memory {
            memory(growth, &mut rows);
            one_or_fifty(growth, self.peer.as_ref(), &mut rows);
        }
        if let Some(measured) = &self.hang {
            hang(measured, &mut rows);
        }
        if let Some(measured) = &self.reload {
            reload(measured, &mut rows);
        }
        if let Some(measured) = &self.drop_in {
            measured.rows(&mut rows);
        }
        if let Some(measured) = &self.floods {
            measured.rows(&mut rows);
        }
        let starts = self.start.as_ref().map(|starts| &starts.first_answers_ms);
        if let Some(median) = starts.and_then(|starts| starts.get(starts.len() / 2)) {
            rows.push(Row::seen("start → first right answer (median)", format!("{} ms", short(*median))));
        }
        rows.push(none_wrong(self.all()));
        rows.extend(self.stolen.iter().map(stolen));
        for program in &self.programs {
            let what = format!("{}'s program, profile {}", program.name, program.profile);
            rows.push(Row::seen(&what, format!("{} MB", short(program.mb))));
        }
        rows
    }
}

/// Ours beside prometheus-adapter and beside the bare echo.
fn peer(peer: &Peer, rows: &mut Vec<Row>) {
    let (ours, adapter) = (&peer.ours, &peer.adapter);
    let speed = |measured: &super::Measured| measured.closed_loop.reads_per_second;
    let times = speed(ours) / speed(adapter).max(1e-6);
    rows.push(Row::met(
        "closed loop, 5 connections: ours, prometheus-adapter",
        format!("{}, {} reads/s: {times:.1} times as many", short(speed(ours)), short(speed(adapter))),
        "≥ 30 times",
        times >= 30.0,
    ));
    let cpu = |measured: &super::Measured| short(measured.closed_loop.cpu_ms_per_1000_reads);
    let text = format!("{}, {} ms", cpu(ours), cpu(adapter));
    rows.push(Row::seen("closed loop: processor time for 1,000 reads: ours, prometheus-adapter", text));
    rows.push(none_failed("closed loop: failed reads", &ours.closed_loop.latency));
    for ((round, theirs), echo) in ours.rounds.iter().zip(&adapter.rounds).zip(&peer.echoes) {
        let name = &round.name;
        rows.push(Row::seen(&format!("{name}: read p50 / p99, ours"), halves(&round.latency)));
        rows.push(Row::seen(&format!("{name}: read p50 / p99, prometheus-adapter"), halves(&theirs.latency)));
        rows.push(Row::seen(&format!("{name}: read p50 / p99, bare TLS echo"), halves(&echo.latency)));
        let what = format!("{name}: p99, ours beside the echo");
        let ratio = round.latency.p99_ms / echo.latency.p99_ms.max(1e-6);
        let text = format!("{ratio:.2} times as long");
        // At the lower rate the processor sleeps between two reads, and waking it up is most of the time.
        rows.push(match echo.rate {
            333 => Row::met(&what, text, "≤ 1.3 times", ratio <= 1.3),
            _ => Row::seen(&what, text),
        });
        let (cpu, their_cpu) = (round.cpu_seconds_per_20s, theirs.cpu_seconds_per_20s);
        rows.push(Row::part_of(&format!("{name}: processor time in 20 s"), "s", cpu, their_cpu, 10.0));
        served(round, &mut *rows);
        let text = format!("{} of {}", theirs.latency.failed, theirs.latency.reads);
        rows.push(Row::seen(&format!("{name}: failed reads, prometheus-adapter"), text));
    }
    if let Some((round, theirs)) = ours.rounds.last().zip(adapter.rounds.last()) {
        let (ours, theirs) = (round.memory.resident_mb, theirs.memory.resident_mb);
        rows.push(Row::part_of("memory with 100 metrics", "MB", ours, theirs, 5.0));
    }
    rows.push(Row::at_most("Prometheus hangs: worst read, ours", "ms", ours.hang.max_ms, HANG_MS));
    let text = format!("{} ms", short(adapter.hang.max_ms));
    rows.push(Row::seen("Prometheus hangs: worst read, prometheus-adapter", text));
    let text = format!("{} ms", short(peer.adapter_first_answer_ms));
    rows.push(Row::seen("start → first right answer, prometheus-adapter", text));
}

/// The read deadline of a second, and the machine.
const HANG_MS: f64 = 1_050.0;

/// What every round of ours should reach.
fn served(round: &Round, rows: &mut Vec<Row>) {
    let name = &round.name;
    let what = format!("{name}: queries per query and interval");
    let queries = round.queries_per_interval;
    rows.push(if round.queries == 1 {
        // A few intervals hold one query more or less, by where they begin.
        Row::seen(&what, short(queries))
    } else {
        // HPAs apart need as many queries as readings of `maxAge` fit into an interval.
        Row::at_most(&what, "", queries, if name.ends_with("apart") { 2.5 } else { 1.05 })
    });
    let what = format!("{name}: reads answered from the cache");
    rows.push(match round.from_cache {
        Some(share) => Row::met(&what, with(&short(share * 100.0), "%"), "≥ 99 %", share >= 0.99),
        None => Row::seen(&what, "not measured".into()),
    });
    rows.push(none_failed(&format!("{name}: failed reads"), &round.latency));
}

fn variant(round: &Round, rows: &mut Vec<Row>) {
    let name = &round.name;
    rows.push(Row::seen(&format!("{name}: read p50 / p99"), halves(&round.latency)));
    let cpu = format!("{} s", short(round.cpu_seconds_per_20s));
    rows.push(Row::seen(&format!("{name}: processor time in 20 s"), cpu));
    served(round, rows);
}

fn stolen(stolen: &Stolen) -> Row {
    let what = format!("{}: processor time that the hypervisor gave to others", stolen.part);
    Row::seen(&what, format!("{} s in {} s", short(stolen.stolen_seconds), short(stolen.of_seconds)))
}

pub(super) fn none_failed(what: &str, latency: &Latency) -> Row {
    let text = format!("{} of {}, {} wrong", latency.failed, latency.reads, latency.wrong);
    Row::met(what, text, "none", latency.failed + latency.wrong == 0)
}

fn none_wrong(all: Tally) -> Row {
    let text = format!("{} of {} reads", all.wrong, all.reads);
    Row::met("wrong numbers, in all parts", text, "0", all.wrong == 0)
}

fn memory(growth: &Growth, rows: &mut Vec<Row>) {
    let text = |memory: &super::Memory| {
        format!("{} MB ({} anonymous)", short(memory.resident_mb), short(memory.anonymous_mb))
    };
    rows.push(Row::seen("memory, idle", text(&growth.idle)));
    for round in &growth.rounds {
        rows.push(Row::seen(&format!("memory, {}", round.name), text(&round.memory)));
        rows.push(Row::seen(&format!("{}: read p50 / p99", round.name), halves(&round.latency)));
        served(round, rows);
    }
}

/// The same hundred queries, with one HPA each and with fifty.
fn one_or_fifty(growth: &Growth, peer: Option<&Peer>, rows: &mut Vec<Row>) {
    let one = growth.rounds.iter().find(|round| round.queries == 100);
    let fifty = peer.and_then(|peer| peer.ours.rounds.last());
    let Some((one, fifty)) = one.zip(fifty) else { return };
    let (one, fifty) = (one.queries_per_interval, fifty.queries_per_interval);
    let what = "queries per query and interval: one HPA / fifty HPAs created together";
    let text = format!("{} / {}", short(one), short(fifty));
    rows.push(Row::met(what, text, "the same", (one - fifty).abs() <= 0.05));
}

fn reload(reload: &Reload, rows: &mut Vec<Row>) {
    rows.push(none_failed("reload of 1,000 rules: failed reads around it", &reload.around));
    let text = |latency: &Latency| format!("{} / {}", short(latency.p99_ms), slowest(latency));
    rows.push(Row::seen("reload of 1,000 rules: p99 / worst read around it", text(&reload.around)));
    rows.push(Row::seen("reload of 1,000 rules: p99 / worst read at other times", text(&reload.else_)));
    let (sent, taken) = reload.reloads;
    let all = taken >= super::count(sent);
    rows.push(Row::met("reload of 1,000 rules: taken", format!("{taken} of {sent}"), "all", all));
}

fn hang(hang: &Hang, rows: &mut Vec<Row>) {
    rows.push(Row::at_most(
        "Prometheus hangs: worst read at 67/s",
        "ms",
        hang.breaker_closed.max_ms,
        HANG_MS,
    ));
    let what = "Prometheus hangs: p50 / p99 with the breaker open";
    rows.push(Row::seen(what, hang.breaker_open.as_ref().map_or_else(|| "not seen".into(), halves)));
    let what = "Prometheus hangs: worst read with the breaker open";
    rows.push(Row::seen(what, hang.breaker_open.as_ref().map_or_else(|| "not seen".into(), slowest)));
    let seconds =
        |time: Option<f64>| time.map_or_else(|| "not seen".into(), |time| format!("{} s", short(time)));
    rows.push(Row::seen("Prometheus hangs: until the breaker opens", seconds(hang.opened_after_seconds)));
    rows.push(Row::seen("Prometheus resumes: until the breaker closes", seconds(hang.closed_after_seconds)));
    rows.push(Row::seen(
        "Prometheus resumes: until the first right answer",
        seconds(hang.right_after_seconds),
    ));
    let recovering = &hang.recovering;
    let text = format!("{} of {}, {} wrong", recovering.failed, recovering.reads, recovering.wrong);
    rows.push(Row::seen("Prometheus resumes: failed reads from then to the end", text));
    rows.push(none_failed("Prometheus resumes: failed reads in the last interval", &hang.after));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_adapters_is_reached_from_the_goal_down() {
        let reached = |ours| Row::part_of("", "s", ours, 4.0, 10.0).reached;
        assert_eq!((reached(0.4), reached(0.41), reached(0.0)), (Some(true), Some(false), Some(true)));
        assert_eq!(Row::part_of("", "MB", 16.6, 83.0, 5.0).measured, "16.6 of 83.0 MB: 1/5.0");
    }
}
