//! Room for the recursion over the deepest query that is let through.

use std::cell::Cell;
use std::io;
use std::panic::resume_unwind;
use std::thread;

/// 40 KiB for each level of the deepest tree, some twenty times what a debug build takes.
const SIZE: usize = 16 * 1024 * 1024;

thread_local! {
    static IS_LARGE: Cell<bool> = const { Cell::new(false) };
}

/// Does the work on a thread whose stack is large enough for every query: this one, if it is such a thread. To be put around
/// the work on many queries, since a thread for each costs as much as reading it.
pub fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if IS_LARGE.get() {
        return Ok(work());
    }
    let work = || {
        IS_LARGE.set(true);
        work()
    };
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("promql".to_owned()).stack_size(SIZE);
        let done = builder.spawn_scoped(scope, work)?.join();
        Ok(done.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
