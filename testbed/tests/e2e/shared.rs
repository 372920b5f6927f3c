//! What the tests share.

use std::sync::{Arc, OnceLock, Weak};
use testbed::{Cluster, Options};
use tokio::{runtime::Runtime, sync::Mutex};

/// Runs a test on the shared runtime with the shared cluster.
pub(crate) fn with_cluster<F, Fut>(test: F)
where
    F: FnOnce(Arc<Cluster>) -> Fut,
    Fut: Future<Output = ()>,
{
    runtime().block_on(async {
        let cluster = cluster().await;
        test(cluster).await;
    });
}

/// One runtime for the whole program: tests come and go on their own threads, clients and watchers stay.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("the runtime starts"))
}

/// The cluster of the tests that run now; the last to let go of it ends it.
async fn cluster() -> Arc<Cluster> {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
    let mut shared = CLUSTER.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let options = Options { name: "e2e".into(), ..Options::default() };
    let cluster = Arc::new(Cluster::start(options).await.expect("the cluster starts"));
    *shared = Arc::downgrade(&cluster);
    cluster
}
