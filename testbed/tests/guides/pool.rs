//! The clusters of the guides: few, because each keeps a core busy while it starts.

use crate::place::Place;
use std::sync::{Arc, OnceLock, Weak};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, Semaphore},
};

/// Guides at once.
const PLACES: usize = 2;

struct Pool {
    idle: Mutex<Vec<Place>>,
    permits: Semaphore,
}

/// Runs a test with a place of its own. One in which a test failed is not used again.
pub(crate) fn with_place<F>(test: F)
where
    F: AsyncFnOnce(&Place),
{
    runtime().block_on(async {
        let pool = pool().await;
        let permit = pool.permits.acquire().await.unwrap();
        let idle = pool.idle.lock().await.pop();
        let place = match idle {
            Some(place) => place,
            None => Place::start().await,
        };
        test(&place).await;
        pool.idle.lock().await.push(place);
        drop(permit);
        // The last test ends the clusters.
        if let Some(pool) = Arc::into_inner(pool) {
            for place in pool.idle.into_inner() {
                place.end().await;
            }
        }
    });
}

/// The pool of the tests that run now.
async fn pool() -> Arc<Pool> {
    static POOL: Mutex<Weak<Pool>> = Mutex::const_new(Weak::new());
    let mut shared = POOL.lock().await;
    if let Some(pool) = shared.upgrade() {
        return pool;
    }
    let pool = Arc::new(Pool { idle: Mutex::default(), permits: Semaphore::new(PLACES) });
    *shared = Arc::downgrade(&pool);
    pool
}

/// One runtime for the whole program: tests come and go on their own threads, nodes stay.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("the runtime starts"))
}
