//! A stack that is large enough for the recursion over the deepest query allowed.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::thread;

use super::error::PromqlError;

/// 40 KiB for each level of the deepest tree, about twenty times the need of a debug build.
const SIZE: usize = 16 * 1024 * 1024;

thread_local! {
    static IS_LARGE: Cell<bool> = const { Cell::new(false) };
}

/// Does the work on a thread with a large stack: on this thread if it is such a one. Wrap the work on many queries in
/// one call, since a thread per query costs as much as parsing it. Fails if the system cannot start a thread.
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
            thread.map_err(|error| PromqlError::somewhere(format!("cannot start a thread: {error}")))?.join();
        Ok(done.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
