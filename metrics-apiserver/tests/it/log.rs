//! The log of the real executable.

use crate::stage::Stage;

/// A warning of a failed read has more than this.
const LINE_BYTES: usize = 150;
/// What Linux keeps of a pipe that nobody reads.
const PIPE_BYTES: usize = 64 * 1024;

#[tokio::test]
async fn a_log_that_nobody_reads_delays_neither_reads_nor_the_end() {
    let stage = Stage::start(&[], 0);
    for _ in 0..PIPE_BYTES / LINE_BYTES * 2 {
        assert_eq!(stage.read("broken", "").await, 503);
    }
    stage.end();
}
