//! What attackers do that no honest client does.

use super::tally::Tally;
use crate::bench::connection::{Connection, Stream, Target};
use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Read at a time by a slow reader.
const PIECE: usize = 16 << 10;

/// Sends a request and counts its answer by its code; none if there was no answer.
pub(super) fn ask(
    tally: &Tally,
    what: &'static str,
    connection: &mut Connection,
    request: &[u8],
) -> Option<u16> {
    match connection.send(request) {
        Ok((code, _)) => {
            tally.add(what, code);
            Some(code)
        }
        Err(error) => {
            let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            tally.add(what, if is_late { "no answer" } else { "closed" });
            None
        }
    }
}

/// A connection on which a request was answered.
pub(super) fn opened(target: &Target, request: &[u8]) -> io::Result<Stream> {
    let mut stream = target.connect()?;
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = [0; 1024];
    // An answer of a few bytes comes in one piece.
    if stream.read(&mut answer)? == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(stream) }
}

/// Sends a request and leaves without waiting for the answer.
pub(super) fn leave(target: &Target, request: &[u8]) -> io::Result<()> {
    let mut stream = target.connect()?;
    stream.write_all(request)?;
    stream.flush()
}

/// Reads an answer at so many bytes a second, until it is whole or `goes_on` says no.
pub(super) fn get_slowly(
    target: &Target,
    request: &[u8],
    rate: u32,
    goes_on: impl Fn() -> bool,
) -> io::Result<()> {
    let mut stream = target.connect()?;
    stream.write_all(request)?;
    stream.flush()?;
    let started = Instant::now();
    let (mut piece, mut read) = (vec![0; PIECE], 0_u32);
    while goes_on() {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        // The ends of a list and of a Status.
        let received = piece.get(..length).unwrap_or_default();
        if received.ends_with(b"]}") || received.ends_with(b"}\n") {
            return Ok(());
        }
        read = read.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
        let due = Duration::from_secs(1) * read / rate;
        thread::sleep(due.saturating_sub(started.elapsed()).min(Duration::from_secs(1)));
    }
    Ok(())
}

/// Whether the server keeps a connection on which nothing is to be read.
pub(super) fn is_open(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let is_open = peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    is_open && stream.set_nonblocking(false).is_ok()
}

/// A request on a connection of its own, as kubelet's probes are; how long it took, if it was answered 200.
pub(super) fn probe(target: &Arc<Target>, request: &[u8]) -> (Duration, Option<String>) {
    let started = Instant::now();
    let mut connection = Connection::new(target);
    let failure = match connection.send(request) {
        Ok((200, _)) => None,
        Ok((code, _)) => Some(format!("answered {code}")),
        Err(error) => Some(error.to_string()),
    };
    (started.elapsed(), failure)
}
