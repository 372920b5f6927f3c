//! The log of the real executable.

use crate::stage::Stage;

/// Reads after the server has stopped asking a Prometheus that is down.
const READS: usize = 200;
/// Before that, each of a few fails with a query that did.
const WARNINGS_MAX: usize = 10;
/// At `-v=4` a read makes a line, of more than this.
const LINE_BYTES: usize = 150;
/// What Linux keeps of a pipe that nobody reads.
const PIPE_BYTES: usize = 64 * 1024;

#[tokio::test]
async fn a_log_that_nobody_reads_delays_neither_reads_nor_the_end() {
    let stage = Stage::start(&["-v=4"], 0);
    for _ in 0..PIPE_BYTES / LINE_BYTES * 2 {
        assert_eq!(stage.read("queue_depth", "").await, 200);
    }
    stage.end();
}

#[tokio::test]
async fn an_outage_is_told_when_it_begins_and_not_with_each_read() {
    let stage = Stage::start(&[], READS * 4);
    stage.take_prometheus_down();
    for metric in ["queue_depth", "queue_age", "broken"] {
        assert_eq!(stage.read(metric, "").await, 503);
    }
    for _ in 0..READS {
        assert_eq!(stage.read("queue_rate", "").await, 503);
    }
    stage.end();
    let lines: Vec<_> = stage.process.log.iter().collect();
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("circuit breaker open after 3 failures"), 1, "{lines:#?}");
    let warnings = count(" WARN ");
    assert!((1..=WARNINGS_MAX).contains(&warnings), "{warnings} of {lines:#?}");
}
