//! The attackers. Each is a thread that goes on until it is stopped, at a bounded rate: they share the cores with what
//! they attack, so more would only measure themselves.

use super::{
    Scale,
    client::{ask, get_slowly, is_open, leave, opened},
    tally::Tally,
    world::{self, World},
};
use crate::bench::connection::{Connection, Stream, Target};
use anyhow::{Context as _, Result};
use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Hundreds of threads wait for answers.
const STACK: usize = 256 << 10;
/// Connections without a word that are opened in each 50 ms: 1,200 a second.
const SILENT_AT_ONCE: usize = 60;
/// Connections with a handshake that are opened in each 100 ms.
const HOLDERS_AT_ONCE: usize = 10;
/// After an error, until a client tries again.
const PAUSE: Duration = Duration::from_millis(500);
/// Reads of the large answer at once; each fourth of them is slow.
const LARGE_READERS: usize = 16;
/// Bytes a second of a slow reader: twice the least that the server accepts.
const SLOW: u32 = 128 << 10;
/// How long an answer to an odd length may take.
const ANSWERED: Duration = Duration::from_secs(1);

/// Attacks under way. They end with this value.
pub(super) struct Attacks {
    context: Arc<Context>,
    threads: Vec<JoinHandle<()>>,
}

struct Context {
    world: World,
    scale: Scale,
    stop: AtomicBool,
    /// Questions with a long selector so far.
    questions: AtomicUsize,
    tally: Tally,
}

type Attack = fn(&Context, usize);

impl Attacks {
    pub(super) fn start(world: World, scale: Scale) -> Result<Self> {
        let context = Arc::new(Context {
            world,
            scale,
            stop: AtomicBool::new(false),
            questions: AtomicUsize::new(0),
            tally: Tally::default(),
        });
        let all: [(Attack, usize); 8] = [
            (say_nothing, 1),
            (hold_connections, 1),
            (read_large, LARGE_READERS),
            (invent_paths, 8),
            (be_denied, scale.denied),
            (ask_ever_new_questions, 16),
            (send_odd_lengths, 1),
            (read_failing, 4),
        ];
        let mut this = Self { context, threads: Vec::new() };
        for (attack, number) in all {
            for index in 0..number {
                let context = Arc::clone(&this.context);
                let thread = thread::Builder::new().stack_size(STACK);
                let thread = thread.spawn(move || attack(&context, index));
                this.threads.push(thread.context("starting an attacker")?);
            }
        }
        Ok(this)
    }

    /// Whether every question has been asked.
    pub(super) fn have_asked_all(&self) -> bool {
        self.context.questions.load(Ordering::Relaxed) >= self.context.scale.questions
    }

    /// Ends all attacks; returns what became of them.
    pub(super) fn stop(mut self) -> Vec<(String, usize)> {
        self.end();
        self.context.tally.all()
    }

    fn end(&mut self) {
        self.context.stop.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            let _ = thread.join();
        }
    }
}

impl Drop for Attacks {
    fn drop(&mut self) {
        self.end();
    }
}

impl Context {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Waits; whether the attack goes on.
    fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while self.goes_on() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
        false
    }

    /// Sends a request and counts the answer; pauses after an error, as every client does.
    fn ask(&self, what: &'static str, connection: &mut Connection, request: &[u8]) {
        if ask(&self.tally, what, connection, request).is_none() {
            self.pause(PAUSE);
        }
    }
}

/// Connections that never send a byte. Those that the server closes are opened again.
fn say_nothing(context: &Context, _: usize) {
    let address = context.world.unknown.address();
    let mut held: Vec<TcpStream> = Vec::new();
    while context.pause(Duration::from_millis(50)) {
        held.retain(|stream| is_open(stream));
        let missing = (context.scale.silent - held.len()).min(SILENT_AT_ONCE);
        for _ in 0..missing {
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            context.tally.add("silent", if stream.is_ok() { "opened" } else { "not opened" });
            held.extend(stream);
        }
    }
    context.tally.add_many("silent", "open at the end", held.iter().filter(|stream| is_open(stream)).count());
}

/// Idle connections of users who have said who they are.
fn hold_connections(context: &Context, _: usize) {
    let mut held: Vec<Stream> = Vec::new();
    while context.pause(Duration::from_millis(100)) {
        held.retain(|stream| is_open(&stream.sock));
        let missing = (context.scale.holders - held.len()).min(HOLDERS_AT_ONCE);
        for index in 0..missing {
            let token = &context.world.tokens[index % context.world.tokens.len()];
            let stream = opened(&context.world.unknown, &world::get_with_token("/livez", token));
            context.tally.add("idle", if stream.is_ok() { "opened" } else { "not opened" });
            held.extend(stream);
        }
    }
    let open = held.iter().filter(|stream| is_open(&stream.sock)).count();
    context.tally.add_many("idle", "open at the end", open);
}

fn read_large(context: &Context, index: usize) {
    let target = reader(context, index / 2);
    let request = world::read("flood_large", "");
    let mut connection = Connection::new(target);
    while context.pause(Duration::from_millis(250)) {
        if index % 4 == 0 {
            let answer = get_slowly(target, &request, SLOW, || context.goes_on());
            context.tally.add("large, read slowly", answer.map_or("closed", |()| "whole"));
        } else {
            context.ask("large", &mut connection, &request);
        }
    }
}

/// A ServiceAccount without rights asks for what it makes up, and gives up at once or leaves.
fn invent_paths(context: &Context, index: usize) {
    let Some(token) = context.world.tokens.last() else { return };
    let mut connection = Connection::new(&context.world.unknown);
    for number in 0.. {
        if !context.pause(Duration::from_millis(10)) {
            break;
        }
        let path = world::invented(number * 8 + index);
        match number % 16 {
            0 => {
                let left = leave(&context.world.unknown, &world::get_with_token(&path, token));
                context.tally.add("invented path", left.map_or("not sent", |()| "left"));
            }
            1..8 => {
                let path = format!("{path}?timeout=1ms");
                let request = world::get_with_token(&path, token);
                context.ask("invented path, 1 ms", &mut connection, &request);
            }
            _ => {
                let request = world::get_with_token(&path, token);
                context.ask("invented path", &mut connection, &request);
            }
        }
    }
}

/// Hundreds of requests in flight, none of which is allowed.
fn be_denied(context: &Context, index: usize) {
    let targets = &context.world.denied;
    let mut connection = Connection::new(&targets[index % targets.len()]);
    for number in 0.. {
        let path = world::invented(10_000_000 + number * 1_000 + index);
        context.ask("denied", &mut connection, &world::get(&path));
        if !context.pause(Duration::from_secs(1)) {
            break;
        }
    }
}

/// A reader of one namespace who never asks the same twice.
fn ask_ever_new_questions(context: &Context, _: usize) {
    let mut connection = Connection::new(reader(context, 0));
    while context.goes_on() {
        let number = context.questions.fetch_add(1, Ordering::Relaxed);
        if number >= context.scale.questions {
            break;
        }
        let request = world::read("flood_narrow", &world::long_selector(number));
        context.ask("long selector", &mut connection, &request);
    }
}

/// Lengths that no client sends by accident: each must be answered, and the connection go on or be closed.
fn send_odd_lengths(context: &Context, _: usize) {
    for length in ["00", "+0", "-1", "0, 0", "99999999999999999999", "1", "0x0"].iter().cycle() {
        if !context.pause(Duration::from_millis(100)) {
            break;
        }
        let request = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        let target = context.world.unknown.with_timeout(ANSWERED);
        let answered = is_answered_or_closed(&Arc::new(target), request.as_bytes());
        context.tally.add("odd length", if answered { "answered" } else { "hangs" });
    }
}

/// Whether a request and the one after it on its connection are answered, or the connection is closed.
fn is_answered_or_closed(target: &Arc<Target>, request: &[u8]) -> bool {
    let mut connection = Connection::new(target);
    let again = world::get("/livez");
    let times_out = |error: &std::io::Error| {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    };
    [request, &again]
        .into_iter()
        .all(|request| !connection.send(request).is_err_and(|error| times_out(&error)))
}

fn read_failing(context: &Context, index: usize) {
    let mut connection = Connection::new(reader(context, 1));
    for number in 0.. {
        if !context.pause(Duration::from_millis(20)) {
            break;
        }
        let request = world::read("flood_failing", &format!("zone!%3Dzone-{}", number * 4 + index));
        context.ask("failing", &mut connection, &request);
    }
}

fn reader(context: &Context, index: usize) -> &Arc<Target> {
    &context.world.readers[index % context.world.readers.len()]
}
