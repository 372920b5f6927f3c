//! The figures beside their goals.

use super::Floods;
use crate::bench::goals::{Row, halves, none_failed, short};

/// What the manifests allow.
const MEMORY_MIB: f64 = 160.0;
/// Bytes of 10^6 in MiB.
const MIB: f64 = 1.048_576;
/// How much more memory there may be a minute later.
const GROWTH: f64 = 1.2;
const READ_P99_MS: f64 = 50.0;
const PROBE_MS: f64 = 1_000.0;
const REVIEWS: f64 = 200.0;
const CONNECTIONS: f64 = 20.0;
const LOG_LINES: f64 = 10.0;

impl Floods {
    pub(in crate::bench) fn rows(&self, rows: &mut Vec<Row>) {
        let what = |what: &str| format!("floods: {what}");
        rows.push(Row::seen(&what("duration"), format!("{} s", short(self.seconds))));
        rows.push(none_failed(&what("failed reads of the HPA controller"), &self.reads));
        rows.push(Row::at_most(&what("read p99"), "ms", self.reads.p99_ms, READ_P99_MS));
        rows.push(Row::seen(&what("read p50 / p99 during"), halves(&self.reads)));
        rows.push(Row::seen(&what("read p50 / p99 before"), halves(&self.reads_before)));
        rows.push(Row::seen(&what("read p50 / p99, bare TLS echo during"), halves(&self.echo)));
        rows.push(Row::seen(&what("read p50 / p99, bare TLS echo before"), halves(&self.echo_before)));
        rows.push(none_failed(&what("failed probes"), &self.probes));
        rows.push(Row::at_most(&what("slowest probe"), "ms", self.probes.max_ms, PROBE_MS));
        rows.push(Row::seen(&what("probe p50 / p99 during"), halves(&self.probes)));
        rows.push(Row::seen(&what("probe p50 / p99 before"), halves(&self.probes_before)));
        rows.push(Row::seen(&what("memory before"), format!("{} MiB", short(self.memory_before_mb / MIB))));
        rows.push(Row::at_most(&what("greatest memory"), "MiB", self.memory_peak_mb / MIB, MEMORY_MIB));
        let after = format!("{} MiB", short(self.memory_after_mb / MIB));
        let goal = self.memory_before_mb * GROWTH;
        let limit = format!("≤ {} MiB: 20 % more than before", short(goal / MIB));
        rows.push(Row::met(&what("memory a minute later"), after, &limit, self.memory_after_mb <= goal));
        let anonymous = self.anonymous_mb.map(|memory| short(memory / MIB)).join(", ");
        rows.push(Row::seen(
            &what("memory not backed by a file: before, a minute later"),
            anonymous + " MiB",
        ));
        let of_seconds: Vec<_> =
            self.memory_by_ten_seconds_mb.iter().map(|memory| short(memory / MIB)).collect();
        rows.push(Row::seen(&what("memory each 10 s after the end"), of_seconds.join(", ") + " MiB"));
        rows.push(Row::at_most(&what("reviews in the busiest second"), "", self.reviews_max, REVIEWS));
        rows.push(Row::seen(
            &what("reviews that kube-apiserver counts, per second"),
            short(self.reviews_per_second),
        ));
        let connections = crate::bench::count(self.connections_max);
        rows.push(Row::at_most(&what("connections to kube-apiserver"), "", connections, CONNECTIONS));
        let abandoned = self.abandoned.map_or_else(|| "not counted".into(), short);
        rows.push(Row::met(
            &what("reviews given up, as counted"),
            abandoned,
            "> 0",
            self.abandoned > Some(0.0),
        ));
        rows.push(Row::at_most(&what("log lines per second"), "", self.log_lines_per_second, LOG_LINES));
        rows.push(Row::met(&what("odd lengths that hang"), self.hanging.to_string(), "0", self.hanging == 0));
        rows.push(Row::seen(&what("processor time"), format!("{} % of a core", short(self.cpu_percent))));
        for (what, number) in &self.attackers {
            rows.push(Row::seen(&format!("floods: attackers: {what}"), number.to_string()));
        }
    }
}
