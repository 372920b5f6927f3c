//! Time limits on a connection: for the head of a request, for an idle connection, and for a client that reads slowly.
//!
//! hyper's `header_read_timeout` starts at the end of the previous answer, so it would close idle connections, and
//! hyper has no timeout for writes. Both are here, derived from what hyper does with the stream: see [`Phase`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limit::{ConcurrencyLimiter, Permit};

/// For the head of a request: from its first byte, or from the start of the connection, to its end. kube-apiserver
/// sends it in one go.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Heads up to this size fit into hyper's first buffer.
pub(super) const LARGE_HEAD_BYTES: usize = 8 << 10;
/// As in Go's servers. Longer than the 30 s between the aggregator's probes, so that these find the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// For any progress of an answer: a client that reads nothing for this long is considered gone.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// For the whole of an answer, from the first time that a write has to wait: a large one takes memory from others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What a client has to read in each second, on average and after [`STALL_TIMEOUT`]: half a megabit.
const BYTES_PER_SECOND_MIN: f64 = 65_536.0;

/// A stream with its timers.
pub(super) struct TimedStream<S> {
    stream: S,
    /// Set when hyper hands over a request.
    requested: Arc<AtomicBool>,
    phase: Phase,
    /// When the phase ends at the latest, while a request is awaited.
    read_deadline: Instant,
    read_timer: Pin<Box<Sleep>>,
    /// Runs while the client reads nothing.
    write_timer: Option<Pin<Box<Sleep>>>,
    /// When a write of the answer had to wait for the first time, and the bytes written since.
    waited: Option<(Instant, usize)>,
    /// Whether the client has closed its side.
    has_ended: bool,
    /// Bytes of the head so far, and of what came with it.
    head_bytes: usize,
    /// Limits large heads.
    large_heads: Option<Arc<ConcurrencyLimiter>>,
    /// Held from the time that a head is large until its request is answered.
    large_head: Option<Permit>,
    is_refused: bool,
    timed_out: Option<TimedOut>,
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// The head of a request is awaited.
    Head,
    /// A request is being answered.
    Answering {
        /// Whether a part of the answer is written. hyper writes all of it before a flush completes: a [`Body`] is one
        /// buffer.
        ///
        /// [`Body`]: super::body::Body
        is_written: bool,
        /// Whether bytes of the next request have come. While a request is answered, hyper reads to detect that the
        /// client is gone, but only as long as it has no such bytes.
        has_next: bool,
    },
}

/// Which timer ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimedOut {
    /// That of an idle connection or of a head.
    Read,
    /// One of those of an answer.
    Write,
}

impl<S> TimedStream<S> {
    /// A stream at its beginning. `requested` is to be set whenever a request has been read from it.
    pub(super) fn new(
        stream: S,
        requested: Arc<AtomicBool>,
        large_heads: Option<Arc<ConcurrencyLimiter>>,
    ) -> Self {
        let read_deadline = Instant::now() + HEAD_TIMEOUT;
        Self {
            stream,
            requested,
            phase: Phase::Idle,
            read_deadline,
            read_timer: Box::pin(sleep_until(read_deadline)),
            write_timer: None,
            waited: None,
            has_ended: false,
            head_bytes: 0,
            large_heads,
            large_head: None,
            is_refused: false,
            timed_out: None,
        }
    }

    /// Which timer ended the connection, if one did.
    pub(super) fn timed_out(&self) -> Option<TimedOut> {
        self.timed_out
    }

    /// Whether a head was not read to its end because too many are large.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether the last answer, if there was one, has left and nothing more has come.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// The stream without timers.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn await_request(&mut self, phase: Phase, timeout: Duration) {
        self.phase = phase;
        self.read_deadline = Instant::now() + timeout;
    }

    /// Counts bytes of a head; an error if it becomes large and too many are.
    fn count_head(&mut self, bytes: usize) -> io::Result<()> {
        self.head_bytes += bytes;
        if self.head_bytes > LARGE_HEAD_BYTES
            && self.large_head.is_none()
            && let Some(limiter) = &self.large_heads
        {
            self.large_head = limiter.try_acquire(());
            self.is_refused = self.large_head.is_none();
        }
        if self.is_refused { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(()) }
    }

    fn notice_request(&mut self) {
        if self.requested.load(Ordering::Relaxed) {
            self.requested.store(false, Ordering::Relaxed);
            self.phase = Phase::Answering { is_written: false, has_next: true };
        }
    }

    /// Pending until the deadline for the next request. The timer is not moved for every request, only when it fires
    /// early or would fire late.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.read_deadline < self.read_timer.deadline() {
            self.read_timer.as_mut().reset(self.read_deadline);
        }
        loop {
            ready!(self.read_timer.as_mut().poll(cx));
            if self.read_timer.deadline() >= self.read_deadline {
                self.timed_out = Some(TimedOut::Read);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.read_timer.as_mut().reset(self.read_deadline);
        }
    }

    /// `written`, or an error once the client has read nothing for too long, or too little.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        let now = Instant::now();
        let (began, bytes) = *self.waited.get_or_insert((now, 0));
        #[allow(clippy::cast_precision_loss, reason = "no answer has 2^52 bytes")]
        let earned = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND_MIN);
        let until = (now + STALL_TIMEOUT).min(began + ANSWER_TIMEOUT).min(began + STALL_TIMEOUT + earned);
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(timer.as_mut().poll(cx));
        self.timed_out = Some(TimedOut::Write);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.notice_request();
        let before = buffer.filled().len();
        let read = if this.has_ended {
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut this.stream).poll_read(cx, buffer)
        };
        let bytes = buffer.filled().len() - before;
        let has_come = bytes > 0;
        if has_come {
            this.count_head(bytes)?;
        }
        match &mut this.phase {
            Phase::Answering { has_next, .. } => {
                *has_next = has_come;
                if is_end(&read, has_come) {
                    // The client has sent its last request and waits for the answer: hyper would give that up.
                    this.has_ended = true;
                    return Poll::Pending;
                }
            }
            Phase::Idle if has_come => {
                // A new connection has to send all of its first head by the deadline that it has.
                this.read_deadline = this.read_deadline.min(Instant::now() + HEAD_TIMEOUT);
                this.phase = Phase::Head;
            }
            Phase::Idle | Phase::Head if read.is_pending() => return this.poll_read_deadline(cx),
            Phase::Idle | Phase::Head => {}
        }
        read
    }
}

/// Whether the client has closed its side, with TLS' close notification or without.
fn is_end(read: &Poll<io::Result<()>>, has_come: bool) -> bool {
    match read {
        Poll::Ready(Ok(())) => !has_come,
        Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
        Poll::Pending => false,
    }
}

impl<S: AsyncWrite + Unpin> TimedStream<S> {
    /// Writes with `write` while a request is answered. At other times hyper writes only its bare answer to a head
    /// that it cannot read: dropped, since a `Status` is sent instead when hyper has returned.
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.notice_request();
        let Phase::Answering { is_written, .. } = &mut self.phase else { return Poll::Ready(Ok(length)) };
        let written = write(Pin::new(&mut self.stream), cx);
        if let Poll::Ready(Ok(count)) = &written {
            *is_written |= *count > 0;
            self.waited = self.waited.map(|(began, bytes)| (began, bytes + count));
        }
        self.in_time(cx, written)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, bytes.len(), |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = buffers.iter().map(|buffer| buffer.len()).sum();
        self.poll_write_with(cx, length, |stream, cx| stream.poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.notice_request();
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if let (Phase::Answering { is_written: true, has_next }, Poll::Ready(Ok(()))) = (self.phase, &flushed)
        {
            self.waited = None;
            (self.head_bytes, self.large_head) = (0, None);
            if has_next {
                self.await_request(Phase::Head, HEAD_TIMEOUT);
            } else {
                self.await_request(Phase::Idle, KEEP_ALIVE);
            }
            if self.has_ended {
                // hyper has yet to see it.
                cx.waker().wake_by_ref();
            }
            // Registers the timer: hyper may not read again before it is woken. The deadline cannot have passed yet.
            let _ = self.poll_read_deadline(cx);
        }
        self.in_time(cx, flushed)
    }

    /// `connection` shuts the stream down when it has it back from hyper.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
