//! Which queries have long answers: those are asked for compressed, the others are not.
//!
//! What an HPA reads is one sample, and to compress that costs more than all the rest of the query: Prometheus makes a new
//! compressor for each answer that may be compressed. Measured at Prometheus 3 with an answer of one sample:
//! 0.74 ms of processor time compressed, 0.12 ms as it is.

use super::marks::Marks;

/// Some hundred series; shorter answers take longer to compress than to send.
const LONG_BYTES_MIN: usize = 64 << 10;

/// The queries whose last answer was long.
#[derive(Debug, Default)]
pub(super) struct LongAnswers(Marks);

impl LongAnswers {
    /// Whether the last answer to this query was long.
    pub(super) fn expects(&self, promql: &str) -> bool {
        self.0.has(promql)
    }

    /// Takes note of an answer of so many bytes, decompressed.
    pub(super) fn note(&self, promql: &str, bytes: usize) {
        self.0.set(promql, bytes >= LONG_BYTES_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_counts() {
        let long = LongAnswers::default();
        assert!(!long.expects("up"), "nothing is known yet");
        long.note("up", LONG_BYTES_MIN);
        assert!(long.expects("up") && !long.expects("down"));
        long.note("up", LONG_BYTES_MIN - 1);
        assert!(!long.expects("up"));
    }
}
