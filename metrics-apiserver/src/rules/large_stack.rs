//! Room for the recursion over the deepest query that is let through.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::thread;

use super::PromqlError;

/// 40 KiB for each level of the deepest tree, some twenty times what a debug build takes.
const SIZE: usize = 16 * 1024 * 1024;

thread_local! {
    static IS_LARGE: Cell<bool> = const { Cell::new(false) };
}

/// Does the work on a thread whose stack is large enough for every query: this one, if it is such a thread. To be put around
/// the work on many queries, since a thread for each costs as much as reading it. Fails if the system has no thread to give.
pub fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, PromqlError> {
    if IS_LARGE.get() {
        return Ok(work());
    }
    let work = || {
        IS_LARGE.set(true);
        work()
    };
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("promql".to_owned()).stack_size(SIZE);
        let thread = builder.spawn_scoped(scope, work);
        let done =
            thread.map_err(|error| PromqlError::somewhere(format!("no thread for it: {error}")))?.join();
        Ok(done.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
