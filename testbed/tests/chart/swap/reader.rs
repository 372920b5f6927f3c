//! Reads every metric through the aggregator, several times a second, and keeps account.

use super::{Swap, level::STEADY, workloads::NAMESPACE};
use anyhow::{Result, ensure};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use testbed::eventually;
use tokio::task::JoinHandle;

/// Between two reads of a metric.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a way that is said to have no gap may be without an answer: a machine that compiles meanwhile delays reads.
const BRIEF: Duration = Duration::from_secs(60);

/// What the HPAs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Pods,
    Object,
    External,
    /// What `kubectl top` shows.
    Usage,
}

impl Metric {
    pub(super) const ALL: [Self; 4] = [Self::Pods, Self::Object, Self::External, Self::Usage];

    /// Of the workload that it scales.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Object => "object",
            Self::External => "external",
            Self::Usage => "usage",
        }
    }

    pub(super) fn is_of_pods(self) -> bool {
        matches!(self, Self::Pods | Self::Usage)
    }

    fn path(self) -> String {
        let (api, what) = match self {
            Self::Pods => ("custom.metrics", "pods/*/swap_work?labelSelector=app%3Dpods"),
            Self::Object => ("custom.metrics", "services/web/swap_requests"),
            Self::External => ("external.metrics", "swap_queue"),
            Self::Usage => ("metrics", "pods?labelSelector=app%3Dusage"),
        };
        format!("/apis/{api}.k8s.io/v1beta1/namespaces/{NAMESPACE}/{what}")
    }

    /// How many values an answer has.
    fn items(self) -> usize {
        if self.is_of_pods() { usize::try_from(STEADY.replicas).unwrap() } else { 1 }
    }
}

/// What came of a read.
enum Outcome {
    Right,
    /// An HPA computes with what there is.
    Wrong(String),
    /// An HPA keeps its size.
    Failed(String),
}

struct Read {
    metric: Metric,
    sent: Instant,
    ended: Instant,
    outcome: Outcome,
}

/// A reader at work.
pub(super) struct Reader {
    done: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Read>>>,
}

/// What a reader saw. It ends with answers.
pub(super) struct Report {
    pub(super) reads: usize,
    pub(super) failed: usize,
    pub(super) wrong: Vec<String>,
    /// The longest time in which a metric had no answer.
    pub(super) longest: Duration,
    reasons: BTreeMap<String, usize>,
    /// When metrics had no answer, in seconds since the reader began: from, to.
    gaps: Vec<(f64, f64)>,
}

impl Swap {
    /// Reads a metric at [`STEADY`] once.
    async fn read(&self, metric: Metric) -> Outcome {
        match self.get(&metric.path()).await {
            Err(error) => Outcome::Failed(format!("{error:#}")),
            Ok(list) => {
                let values: Vec<&str> = list["items"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|item| {
                        let value =
                            item.get("value").unwrap_or_else(|| &item["containers"][0]["usage"]["memory"]);
                        value.as_str().unwrap_or("none")
                    })
                    .collect();
                let expected = STEADY.value(metric).to_string();
                if values.is_empty() {
                    // An HPA takes it for a failure.
                    Outcome::Failed("an empty list".to_owned())
                } else if values == vec![&*expected; metric.items()] {
                    Outcome::Right
                } else {
                    Outcome::Wrong(format!("{metric:?}: {values:?}"))
                }
            }
        }
    }

    /// Waits until these metrics have the right answers.
    pub(super) async fn answers(&self, metrics: &[Metric]) {
        let answers = eventually("right answers", super::SOON, || async {
            for metric in metrics {
                self.right(*metric).await?;
            }
            Ok(Some(()))
        });
        answers.await.unwrap();
    }

    async fn right(&self, metric: Metric) -> Result<()> {
        let outcome = self.read(metric).await;
        let (Outcome::Wrong(why) | Outcome::Failed(why)) = &outcome else { return Ok(()) };
        ensure!(matches!(outcome, Outcome::Right), "{metric:?}: {why}");
        Ok(())
    }
}

impl Reader {
    pub(super) fn start(swap: &Arc<Swap>, metrics: &[Metric]) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let read = |metric: &Metric| {
            let metric = *metric;
            let (swap, done) = (Arc::clone(swap), Arc::clone(&done));
            tokio::spawn(async move {
                let mut reads = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let outcome = swap.read(metric).await;
                    reads.push(Read { metric, sent, ended: Instant::now(), outcome });
                    tokio::time::sleep(PAUSE).await;
                }
                reads
            })
        };
        Self { tasks: metrics.iter().map(read).collect(), done }
    }

    pub(super) async fn finish(self) -> Report {
        self.done.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.push(task.await.unwrap());
        }
        Report::of(&all)
    }
}

impl Report {
    /// There was always a provider that kube-apiserver trusted. Short outages of a busy machine are none of ours.
    pub(super) fn assert_no_gap(&self) {
        assert!(self.longest < BRIEF, "{self}");
        let is_gap = |reason: &String| reason.contains("x509") || reason.contains("404");
        assert!(!self.reasons.keys().any(is_gap), "{self}");
    }

    fn of(all: &[Vec<Read>]) -> Self {
        let mut report = Self {
            reads: all.iter().map(Vec::len).sum(),
            failed: 0,
            wrong: Vec::new(),
            longest: Duration::ZERO,
            reasons: BTreeMap::new(),
            gaps: Vec::new(),
        };
        let begin = all.iter().flatten().map(|read| read.sent).min().unwrap_or_else(Instant::now);
        let seconds = |at: Instant| (at - begin).as_secs_f64();
        for reads in all {
            let mut since: Option<Instant> = None;
            for read in reads {
                match &read.outcome {
                    Outcome::Right => {
                        let Some(first) = since.take() else { continue };
                        report.longest = report.longest.max(read.ended - first);
                        report.gaps.push((seconds(first), seconds(read.ended)));
                    }
                    Outcome::Wrong(why) => report.wrong.push(why.clone()),
                    Outcome::Failed(why) => {
                        report.failed += 1;
                        let why: String = why.chars().take(200).collect();
                        *report.reasons.entry(format!("{:?}: {why}", read.metric)).or_default() += 1;
                        _ = since.get_or_insert(read.sent);
                    }
                }
            }
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, failed, wrong, longest, reasons, gaps } = self;
        let (seconds, wrong) = (longest.as_secs_f64(), wrong.len());
        write!(f, "{seconds:.1} s without an answer; of {reads} reads {failed} failed, {wrong} were wrong")?;
        for (from, to) in gaps {
            write!(f, "\n  from {from:.1} to {to:.1}")?;
        }
        for (reason, count) in reasons {
            write!(f, "\n  {count} × {reason}")?;
        }
        Ok(())
    }
}
