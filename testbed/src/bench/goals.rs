//! The figures beside what they are to be.

use super::{
    Report, Stolen,
    echo::Echo,
    hang::Hang,
    latency::Latency,
    memory::Growth,
    rate::{ClosedLoop, LIVE_BACKENDS, Round},
    reload::Reload,
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
    /// What it is to be; empty if it only is there to compare.
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

    fn at_least(what: &str, unit: &str, value: f64, goal: f64) -> Self {
        Self::met(what, with(&short(value), unit), &with(&format!("≥ {goal}"), unit), value >= goal)
    }

    fn missing(what: &str, goal: &str) -> Self {
        Self { what: what.to_owned(), measured: "not measured".into(), goal: goal.to_owned(), reached: None }
    }
}

fn with(number: &str, unit: &str) -> String {
    format!("{number} {unit}").trim_end().to_owned()
}

/// The slowest read, and how much of that was over before it was sent.
fn slowest(latency: &Latency) -> String {
    format!("{} ms, sent {} ms late", short(latency.max_ms), short(latency.max_sent_late_ms))
}

/// Three digits or more.
fn short(value: f64) -> String {
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
        for round in &self.rounds {
            rate(round, &mut rows);
        }
        ratios(&self.rounds, &self.closed_loops, &mut rows);
        rows.extend(self.echoes.iter().map(echo));
        if let Some(growth) = &self.memory {
            for round in &growth.rounds {
                beat(round, &mut rows);
            }
            one_or_fifty(&growth.rounds, &self.rounds, &mut rows);
            memory(growth, &mut rows);
        }
        if let Some(measured) = &self.hang {
            hang(measured, &mut rows);
        }
        if let Some(measured) = &self.reload {
            reload(measured, &mut rows);
        }
        let starts = self.start.as_ref().map(|starts| &starts.first_answers_ms);
        if let Some(median) = starts.and_then(|starts| starts.get(starts.len() / 2)) {
            rows.push(Row::at_most("start → first correct answer (median)", "ms", *median, 100.0));
        }
        rows.push(none_wrong(self.all()));
        rows.extend(self.stolen.iter().map(stolen));
        for program in &self.programs {
            let what = format!("{}'s program, profile {}", program.name, program.profile);
            rows.push(if program.name == "metrics-apiserver" && program.profile == "release" {
                Row::at_most(&what, "MB", program.mb, 15.0)
            } else {
                Row::seen(&what, format!("{} MB", short(program.mb)))
            });
        }
        rows
    }
}

fn rate(round: &Round, rows: &mut Vec<Row>) {
    let (name, latency) = (&round.name, &round.latency);
    let times = |goal| {
        let text = format!("{} / {} ms", short(latency.p50_ms), short(latency.p99_ms));
        let what = format!("{name}: read p50 / p99");
        match goal {
            None => Row::seen(&what, text),
            Some((p50, p99)) => Row::met(
                &what,
                text,
                &format!("≤ {p50} / {p99} ms"),
                latency.p50_ms <= p50 && latency.p99_ms <= p99,
            ),
        }
    };
    let cpu = |goal: Option<f64>| {
        let what = format!("{name}: processor time in 20 s");
        match goal {
            None => Row::seen(&what, format!("{} s", short(round.cpu_seconds_per_20s))),
            Some(goal) => Row::at_most(&what, "s", round.cpu_seconds_per_20s, goal),
        }
    };
    let is_live = name.ends_with("live");
    rows.push(times((!is_live).then_some((0.3, 1.0))));
    rows.push(cpu((!is_live).then_some(if name.starts_with("67") { 0.2 } else { 0.6 })));
    rows.push(none_failed(&format!("{name}: failed reads"), latency));
    let queries = format!("{name}: queries per question and beat");
    if is_live || name.ends_with("apart") {
        rows.push(Row::seen(&queries, short(round.queries_per_question_and_beat)));
    } else {
        rows.push(Row::at_most(&queries, "", round.queries_per_question_and_beat, 1.05));
    }
    if !is_live {
        rows.push(from_memory(round));
    }
}

/// What no server could be better than, on this machine and in this run.
fn echo(echo: &Echo) -> Row {
    let latency = &echo.latency;
    let what = format!("{}/s to a bare TLS echo: p50 / p99 / worst", echo.rate);
    Row::seen(&what, format!("{} / {} / {}", short(latency.p50_ms), short(latency.p99_ms), slowest(latency)))
}

fn stolen(stolen: &Stolen) -> Row {
    let what = format!("{}: processor time that the hypervisor gave to others", stolen.part);
    Row::seen(&what, format!("{} s in {} s", short(stolen.stolen_seconds), short(stolen.of_seconds)))
}

fn from_memory(round: &Round) -> Row {
    let what = format!("{}: reads answered from memory", round.name);
    round
        .from_memory
        .map_or_else(|| Row::missing(&what, "≥ 99 %"), |share| Row::at_least(&what, "%", share * 100.0, 99.0))
}

fn none_failed(what: &str, latency: &Latency) -> Row {
    let text = format!("{} of {}, {} wrong", latency.failed, latency.reads, latency.wrong);
    Row::met(what, text, "none", latency.failed + latency.wrong == 0)
}

fn none_wrong(all: Tally) -> Row {
    let text = format!("{} of {} reads", all.wrong, all.reads);
    Row::met("wrong numbers, in all parts", text, "0", all.wrong == 0)
}

/// Memory beside the live baseline of the same run.
fn ratios(rounds: &[Round], loops: &[ClosedLoop], rows: &mut Vec<Row>) {
    let find = |name: &str| rounds.iter().find(|round| round.name == name);
    for rate in ["67/s", "333/s"] {
        let Some((memory, live)) = find(rate).zip(find(&format!("{rate} live"))) else { continue };
        let ratio = |part: fn(&Latency) -> f64| part(&live.latency) / part(&memory.latency).max(1e-6);
        let text = format!("{:.1} / {:.1} times as fast", ratio(|l| l.p50_ms), ratio(|l| l.p99_ms));
        rows.push(Row::seen(&format!("{rate}: memory beside live, p50 / p99"), text));
    }
    for measured in loops {
        let name = format!("closed loop, 5 connections, {}", measured.source);
        if measured.source == "memory" {
            // 18 times prometheus-adapter's 912.
            rows.push(Row::at_least(&name, "reads/s", measured.reads_per_second, 16_416.0));
            let what = format!("{name}: for each core of the server");
            rows.push(Row::at_least(&what, "reads/s", measured.reads_per_core, 15_000.0));
        } else {
            let what = format!("{name}, over {LIVE_BACKENDS} backends");
            rows.push(Row::seen(&what, format!("{} reads/s", short(measured.reads_per_second))));
        }
        let text = format!("{} ms", short(measured.cpu_ms_per_1000_reads));
        rows.push(Row::seen(&format!("{name}: processor time for 1,000 reads"), text));
        rows.push(none_failed(&format!("{name}: failed reads"), &measured.latency));
    }
    let speed = |source: &str| {
        loops.iter().find(|measured| measured.source == source).map(|measured| measured.reads_per_second)
    };
    if let Some((memory, live)) = speed("memory").zip(speed("live")) {
        let text = format!("{:.1} times as many", memory / live.max(1e-6));
        rows.push(Row::seen("closed loop, 5 connections: memory beside live", text));
    }
}

fn beat(round: &Round, rows: &mut Vec<Row>) {
    let name = &round.name;
    let what = format!("{name}, one HPA each: queries per question and beat");
    // Of one question a few beats hold one query more or less, by where they begin.
    rows.push(if round.questions == 1 {
        Row::seen(&what, short(round.queries_per_question_and_beat))
    } else {
        Row::at_most(&what, "", round.queries_per_question_and_beat, 1.05)
    });
    rows.push(from_memory(round));
    rows.push(none_failed(&format!("{name}: failed reads"), &round.latency));
    let text = format!("{} / {} ms", short(round.latency.p50_ms), short(round.latency.p99_ms));
    rows.push(Row::seen(&format!("{name}: read p50 / p99"), text));
}

/// The same hundred questions, with one HPA each and with fifty.
fn one_or_fifty(one_each: &[Round], rates: &[Round], rows: &mut Vec<Row>) {
    let one = one_each.iter().find(|round| round.questions == 100);
    let fifty = rates.iter().find(|round| round.name == "333/s");
    let Some((one, fifty)) = one.zip(fifty) else { return };
    let (one, fifty) = (one.queries_per_question_and_beat, fifty.queries_per_question_and_beat);
    let what = "queries per question and beat: one HPA / fifty HPAs created together";
    let text = format!("{} / {}", short(one), short(fifty));
    rows.push(Row::met(what, text, "the same", (one - fifty).abs() <= 0.05));
}

fn memory(growth: &Growth, rows: &mut Vec<Row>) {
    let text = |memory: &super::Memory| {
        format!("{} MB ({} anonymous)", short(memory.resident_mb), short(memory.anonymous_mb))
    };
    rows.push(Row::seen("memory, idle", text(&growth.idle)));
    for round in &growth.rounds {
        let what = format!("memory, {}", round.name);
        let goal = match round.questions {
            1 => Some(12.0),
            1_000 => Some(25.0),
            10_000 => Some(80.0),
            _ => None,
        };
        rows.push(match goal {
            None => Row::seen(&what, text(&round.memory)),
            Some(goal) => {
                let reached = round.memory.resident_mb <= goal;
                Row::met(&what, text(&round.memory), &format!("≤ {goal} MB"), reached)
            }
        });
    }
}

fn reload(reload: &Reload, rows: &mut Vec<Row>) {
    rows.push(none_failed("reload of 1,000 rules: failed reads around it", &reload.around));
    rows.push(Row::at_most("reload of 1,000 rules: worst read around it", "ms", reload.around.max_ms, 5.0));
    let text = |latency: &Latency| format!("{} / {}", short(latency.p99_ms), slowest(latency));
    rows.push(Row::seen("reload of 1,000 rules: p99 / worst read around it", text(&reload.around)));
    rows.push(Row::seen("reload of 1,000 rules: p99 / worst read at other times", text(&reload.else_)));
    let (sent, taken) = reload.reloads;
    let all = taken >= super::count(sent);
    rows.push(Row::met("reload of 1,000 rules: taken", format!("{taken} of {sent}"), "all", all));
}

fn hang(hang: &Hang, rows: &mut Vec<Row>) {
    rows.push(Row::at_most("Prometheus hangs: worst read", "ms", hang.breaker_closed.max_ms, 1_050.0));
    let what = "Prometheus hangs: worst read with the breaker open";
    rows.push(match &hang.breaker_open {
        Some(open) => Row::met(what, slowest(open), "≤ 5 ms", open.max_ms <= 5.0),
        None => Row::missing(what, "≤ 5 ms"),
    });
    if let Some(open) = &hang.breaker_open {
        let text = format!("{} / {} / {} ms", short(open.p50_ms), short(open.p99_ms), short(open.p999_ms));
        rows.push(Row::seen("Prometheus hangs: read p50 / p99 / p99.9 with the breaker open", text));
    }
    let seconds =
        |time: Option<f64>| time.map_or_else(|| "not seen".into(), |time| format!("{} s", short(time)));
    rows.push(Row::seen("Prometheus hangs: until the breaker opens", seconds(hang.opened_after_seconds)));
    rows.push(Row::seen("Prometheus goes on: until the breaker closes", seconds(hang.closed_after_seconds)));
    rows.push(Row::seen(
        "Prometheus goes on: until the first right answer",
        seconds(hang.right_after_seconds),
    ));
    let recovering = &hang.recovering;
    let text = format!("{} of {}, {} wrong", recovering.failed, recovering.reads, recovering.wrong);
    rows.push(Row::seen("Prometheus goes on: failed reads from then to the end", text));
    rows.push(none_failed("Prometheus goes on: failed reads in the last beat", &hang.after));
}
