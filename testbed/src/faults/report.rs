//! What came of the rounds, and whether it was right.

use super::{
    Options,
    reader::Reads,
    round::{Kind, Round, SLOW},
    watch::Record,
    workload::{REPLICAS, SHORT_MAX_AGE, WORKLOADS},
};
use crate::Fault;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// From a reading that is too old to the HPA's condition: its interval, the read deadline, and a margin.
const SAYS_WITHIN: Duration = Duration::from_secs(5);

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In their order.
    pub rounds: Vec<RoundReport>,
    /// Changes of a size that no load explains, and numbers that none explains.
    pub wrong_decisions: usize,
}

/// What came of one round.
#[derive(Debug, Serialize)]
pub struct RoundReport {
    /// The group it belongs to.
    pub letter: char,
    /// Its name.
    pub name: &'static str,
    /// What was done.
    pub what: &'static str,
    /// By the name of the HPA.
    pub hpas: BTreeMap<String, HpaReport>,
    /// Changes of a size that no load explains, and numbers that none explains.
    pub wrong_decisions: usize,
    /// Reads through kube-apiserver.
    pub reads: usize,
    /// Those that were answered with an error.
    pub failed_reads: usize,
    /// The slowest of them.
    pub worst_read_ms: u128,
    /// Queries that reached Prometheus or the proxy before it.
    pub queries: u64,
    /// Whether all `APIServices` were Available all the time.
    pub available: bool,
    /// From the end of the fault until all HPAs worked.
    pub recovered_ms: u128,
    /// What was not as it should be; nothing, if all was.
    pub problems: Vec<String>,
}

/// What one HPA did.
#[derive(Debug, Serialize)]
pub struct HpaReport {
    /// The replicas it wanted, in milliseconds since the round began.
    pub replicas: Vec<(u128, i32)>,
    /// The smallest of them.
    pub min: i32,
    /// The largest.
    pub max: i32,
    /// What it said while it did not work.
    pub said: Vec<String>,
}

/// When a round's fault began and ended, and when all was well again.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) well: Instant,
}

impl RoundReport {
    pub(super) fn new(
        round: &Round,
        options: &Options,
        times: Times,
        record: &Record,
        reads: &Reads,
        queries: u64,
    ) -> Self {
        let hpas: BTreeMap<_, _> = record
            .hpas
            .iter()
            .map(|(name, hpa)| {
                let since = |at: Instant| at.saturating_duration_since(times.begun).as_millis();
                let replicas: Vec<_> =
                    hpa.replicas.iter().map(|(at, replicas)| (since(*at), *replicas)).collect();
                let sizes = || replicas.iter().map(|it| it.1);
                let (min, max) = (sizes().min().unwrap_or_default(), sizes().max().unwrap_or_default());
                (name.clone(), HpaReport { replicas, min, max, said: hpa.causes(times.begun, times.well) })
            })
            .collect();
        let moves: usize = record.hpas.values().map(|it| it.replicas.len().saturating_sub(1)).sum();
        let mut report = Self {
            letter: round.letter,
            name: round.name,
            what: round.what,
            hpas,
            wrong_decisions: moves + reads.wrong.len(),
            reads: reads.count,
            failed_reads: reads.failed,
            worst_read_ms: reads.worst.as_millis(),
            queries,
            available: record.available.values().flatten().all(|it| it.1),
            recovered_ms: times.well.saturating_duration_since(times.ended).as_millis(),
            problems: Vec::new(),
        };
        report.judge(round, options, reads);
        report.judge_words(round, options, times, record);
        report
    }

    fn judge(&mut self, round: &Round, options: &Options, reads: &Reads) {
        for (name, hpa) in self.hpas.iter().filter(|(_, hpa)| (hpa.min, hpa.max) != (REPLICAS, REPLICAS)) {
            self.problems.push(format!("{name} was scaled: {:?}", hpa.replicas));
        }
        if let Some(first) = reads.wrong.first() {
            self.problems.push(format!("{} wrong numbers, the first: {first}", reads.wrong.len()));
        }
        if reads.worst > options.read_within {
            self.problems.push(format!("a read took {} ms", self.worst_read_ms));
        }
        if round.kind.stays_available() && !self.available {
            self.problems.push("an APIService was not Available all the time".to_owned());
        }
        if let Some(failure) = reads.failure.as_ref().filter(|_| round.kind.loses_no_read()) {
            self.problems.push(format!("{} reads failed, the first: {failure}", reads.failed));
        }
    }

    /// Whether each HPA said the cause, if its reading became too old, and recovered from the cache where it can.
    fn judge_words(&mut self, round: &Round, options: &Options, times: Times, record: &Record) {
        let Some(cause) = round.cause else { return };
        let lasted = times.ended.saturating_duration_since(times.begun);
        let hpas = WORKLOADS.iter().filter_map(|workload| Some((workload, record.hpas.get(workload.name)?)));
        for (workload, hpa) in hpas {
            let Some(cause) = workload.says(cause) else { continue };
            let name = workload.name;
            let max_age = if workload.sees_at_once { SHORT_MAX_AGE } else { options.max_age };
            let max_age = if round.kind.leaves_cache() { max_age } else { Duration::ZERO };
            let said = hpa.causes(times.begun, times.well);
            // A slow Prometheus may be bridged from the first read on.
            let bridged = round.kind == Kind::Injected(Fault::Slow(SLOW)) && max_age > SLOW;
            if bridged
                && !said.is_empty()
                && lasted > max_age + SLOW * 2
                && !hpa.recovered_before(times.ended)
            {
                self.problems.push(format!("{name} got nothing from the cache: {said:?}"));
            }
            // The fault lasts until the one with the short `maxAge` has said so, or has had ample time.
            let must_say = !bridged && (workload.sees_at_once || lasted > max_age + SAYS_WITHIN);
            if must_say && !said.iter().any(|it| it.contains(cause)) {
                self.problems.push(format!("{name} did not say \"{cause}\" but {said:?}"));
            }
        }
    }

    /// One line while it runs.
    pub fn line(&self) -> String {
        let sizes = self.sizes();
        let verdict = self.verdict();
        format!(
            "({}) {:<14} replicas {sizes}, worst read {} ms, {} queries: {verdict}",
            self.letter, self.name, self.worst_read_ms, self.queries
        )
    }

    fn sizes(&self) -> String {
        let sizes = self.hpas.values().map(|hpa| format!("{}..{}", hpa.min, hpa.max));
        sizes.collect::<Vec<_>>().join(" ")
    }

    fn verdict(&self) -> String {
        if self.problems.is_empty() {
            "right".to_owned()
        } else {
            format!("WRONG: {}", self.problems.join("; "))
        }
    }
}

impl Report {
    pub(super) fn new(rounds: Vec<RoundReport>) -> Self {
        let wrong_decisions = rounds.iter().map(|it| it.wrong_decisions).sum();
        Self { rounds, wrong_decisions }
    }

    /// Whether all was as it should be.
    pub fn is_right(&self) -> bool {
        self.wrong_decisions == 0 && self.rounds.iter().all(|it| it.problems.is_empty())
    }

    /// A table in Markdown.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "round",
            "what",
            "the HPA said",
            "replicas",
            "worst read ms",
            "failed reads",
            "queries",
            "recovered ms",
            "verdict",
        ]);
        for round in &self.rounds {
            let said: Vec<_> = round.hpas.values().flat_map(|it| &it.said).map(|it| short(it)).collect();
            let said = said.iter().enumerate().filter(|(at, it)| !said[..*at].contains(it));
            table.add_row([
                format!("({}) {}", round.letter, round.name),
                round.what.to_owned(),
                said.map(|it| it.1.to_string()).collect::<Vec<_>>().join("; "),
                round.sizes(),
                round.worst_read_ms.to_string(),
                format!("{}/{}", round.failed_reads, round.reads),
                round.queries.to_string(),
                round.recovered_ms.to_string(),
                round.verdict(),
            ]);
        }
        format!("{table}\n\n{} wrong decisions in {} rounds", self.wrong_decisions, self.rounds.len())
    }
}

/// The cause without the metric before and the advice after it.
fn short(said: &str) -> &str {
    let said = said.split_once("`: ").map_or(said, |(_, rest)| rest);
    said.split(';').next().unwrap_or(said)
}

#[cfg(test)]
mod tests;
