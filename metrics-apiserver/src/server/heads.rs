//! What a client may send when: one request's head at a time, so large, and so soon.
//!
//! actix decodes all it has read before it answers the first of it: a hundred kilobytes of small requests become thousands
//! of them in memory. Its timer for a head is for a connection's first one alone. So a connection's stream is read through
//! [`Heads`]: bytes pass up to the end of a head, and no further before the answer to it has left.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A head may be so long: a hundred header lines and a long selector have room, a thousand connections with one each do
/// no harm.
pub(super) const HEAD_MAX: usize = 32 * 1024;
/// From its first byte to its end, and from the connection's beginning to its first head's end; kube-apiserver sends one at
/// once.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that takes nothing of an answer for so long is gone.
const STALL_MAX: Duration = Duration::from_secs(10);
/// And so is one that has not taken all of it so long after it first made us wait: a large one takes room from others.
const LEAVING_MAX: Duration = Duration::from_secs(60);
/// What is read of a client that does not wait for its answer: whether it is still there shows in the next read.
const AHEAD: usize = 1024;

/// The answers that can't come from a handler, for there is no request.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What actix tells a client that wants to know whether its body is welcome. The answer is still to come.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What who answers a connection's requests tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Rc<Told>);

#[derive(Debug, Default)]
struct Told {
    hangs_up: Cell<bool>,
    has_more: Cell<bool>,
}

impl Line {
    /// No further request of it will be heard, whatever still comes in.
    pub(super) fn hang_up(&self) {
        self.0.hangs_up.set(true);
    }

    /// Whether the answer under way has more than was written of it.
    pub(super) fn set_more(&self, has_more: bool) {
        self.0.has_more.set(has_more);
    }
}

/// How far the answer to the last head has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// None is owed, or all of it has left.
    Done,
    /// Nothing of it is written.
    Owed,
    /// actix flushes when it has written all that it has of an answer, which is all of it unless there is more to come. Were
    /// the next head read before, actix would answer it with this one's method in mind, and a 408 or 431 to it would land
    /// in the middle of a long body.
    Written,
}

/// A connection's stream, read one head at a time.
pub(super) struct Heads<S> {
    stream: S,
    head: Head,
    /// Read, but not to be handed over yet.
    held: Vec<u8>,
    answer: Answer,
    /// Who wants to read on once the answer has left.
    waiting: Option<Waker>,
    /// Runs while a head is expected or under way.
    head_timer: Option<Pin<Box<Sleep>>>,
    /// Runs while the client takes nothing.
    stall_timer: Option<Pin<Box<Sleep>>>,
    /// When it must have taken all of the answer, once it has made us wait.
    leaves_by: Option<Instant>,
    line: Line,
    /// What is left of a last answer.
    refusal: Option<&'static [u8]>,
}

impl<S> Heads<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            head: Head::first(),
            held: Vec::new(),
            answer: Answer::Done,
            waiting: None,
            head_timer: None,
            stall_timer: None,
            leaves_by: None,
            line: Line::default(),
            refusal: None,
        }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    pub(super) fn line(&self) -> Line {
        self.line.clone()
    }

    /// Takes what may be handed over of the bytes that `buffer` has behind `before`, and keeps the rest.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        let end = self.head.end_in(fresh);
        if self.head.length > HEAD_MAX {
            buffer.set_filled(before);
            self.refusal = Some(TOO_LARGE);
        } else if let Some(length) = end {
            let surplus = fresh.get(length..).unwrap_or_default();
            self.held.splice(..0, surplus.iter().copied());
            buffer.set_filled(before + length);
            self.head = Head::next();
            self.head_timer = None;
            self.answer = Answer::Owed;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Heads<S> {
    /// Whether the client is still there, while its request is answered.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.waiting = Some(cx.waker().clone());
        if !self.held.is_empty() {
            return Poll::Pending;
        }
        let mut bytes = [0; AHEAD];
        let mut ahead = ReadBuf::new(bytes.get_mut(..buffer.remaining().min(AHEAD)).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut ahead))?;
        if ahead.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.held.extend_from_slice(ahead.filled());
        Poll::Pending
    }

    /// Throws away what comes, until the client closes.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held = Vec::new();
        let mut bytes = [0; AHEAD];
        loop {
            let mut ignored = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut ignored))?;
            if ignored.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads what is there, up to the end of a head.
    fn poll_head(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.held.is_empty() {
            match Pin::new(&mut self.stream).poll_read(cx, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => return self.poll_head_timer(cx),
            }
        } else {
            let length = self.held.len().min(buffer.remaining());
            buffer.put_slice(self.held.drain(..length).as_slice());
        }
        self.hand_over(buffer, before);
        Poll::Ready(Ok(()))
    }

    /// Pending, until a head has taken too long: refused if it is under way, else the connection's end.
    fn poll_head_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.head.is_idle() {
            // Between two requests actix' keep-alive counts.
            return Poll::Pending;
        }
        let timer = self.head_timer.get_or_insert_with(|| Box::pin(sleep(HEAD_TIMEOUT)));
        ready!(timer.as_mut().poll(cx));
        // A 408 to nothing could cross a request that is on its way, and pass for the answer to it: Go's clients keep
        // connections that they found no use for yet. One that just ends is a kept one that ended, and they send again.
        if self.head.length > 0 {
            self.refusal = Some(TOO_LATE);
        }
        Poll::Ready(Ok(()))
    }

    /// Says why there will be no answer, and ends the connection.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, mut left: &'static [u8]) -> Poll<io::Result<()>> {
        while !left.is_empty() {
            let written = ready!(Pin::new(&mut *self).poll_write(cx, left))?;
            left = left.get(written.max(1)..).unwrap_or_default();
            self.refusal = Some(left);
        }
        ready!(Pin::new(&mut *self).poll_flush(cx))?;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// `written`, or an error once the client has taken nothing for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall_timer = None;
            return written;
        }
        let now = Instant::now();
        let leaves_by = *self.leaves_by.get_or_insert(now + LEAVING_MAX);
        let until = leaves_by.min(now + STALL_MAX);
        let timer = self.stall_timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.line.0.hangs_up.get() {
            return this.poll_end(cx);
        }
        if this.answer != Answer::Done {
            return this.poll_ahead(cx, buffer);
        }
        if this.refusal.is_none() {
            let read = this.poll_head(cx, buffer);
            if this.refusal.is_none() {
                return read;
            }
        }
        this.poll_refuse(cx, this.refusal.unwrap_or_default())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) && self.answer == Answer::Owed && bytes != CONTINUE {
            self.answer = Answer::Written;
        }
        self.in_time(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        let has_left = matches!(flushed, Poll::Ready(Ok(()))) && !self.line.0.has_more.get();
        if has_left && self.answer == Answer::Written {
            (self.answer, self.leaves_by) = (Answer::Done, None);
            if let Some(waiting) = self.waiting.take().filter(|_| !self.held.is_empty()) {
                waiting.wake();
            }
        }
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}

/// How far a head has come. It ends with an empty line, where empty ones before its first do not count: so does actix'
/// parser read it, which takes a line feed alone for the end of a line too.
struct Head {
    length: usize,
    /// A line that is not empty has begun.
    has_begun: bool,
    /// The line under way has nothing but, perhaps, a carriage return.
    is_line_empty: bool,
    is_first: bool,
}

impl Head {
    fn first() -> Self {
        Self { length: 0, has_begun: false, is_line_empty: true, is_first: true }
    }

    fn next() -> Self {
        Self { is_first: false, ..Self::first() }
    }

    /// Whether nothing of it has come, and need not come soon.
    fn is_idle(&self) -> bool {
        self.length == 0 && !self.is_first
    }

    /// How many of these bytes belong to it, if it ends in them.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        for (length, byte) in (1..).zip(bytes) {
            match byte {
                b'\n' if self.is_line_empty && self.has_begun => {
                    self.length += length;
                    return Some(length);
                }
                b'\n' => self.is_line_empty = true,
                b'\r' => {}
                _ => (self.is_line_empty, self.has_begun) = (false, true),
            }
        }
        self.length += bytes.len();
        None
    }
}

#[cfg(test)]
mod tests;
