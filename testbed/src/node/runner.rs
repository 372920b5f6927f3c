//! Watches the pods bound to the node and gives each a task of its own.

use super::{
    Shared,
    pod::{self, Wish},
    stop_asked,
};
use anyhow::{Result, anyhow};
use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

/// Runs until the node is to stop; then ends every pod's processes within their grace.
pub(super) async fn run(node: Arc<Shared>, mut stop: watch::Receiver<bool>) -> Result<()> {
    let pods: Api<Pod> = Api::all(node.client.clone());
    let bound = watcher::Config::default().fields(&format!("spec.nodeName={}", node.name));
    let events = watcher(pods, bound).default_backoff();
    pin_mut!(events);
    let mut runner = Runner { node, pods: HashMap::new(), listed: HashSet::new(), tasks: JoinSet::new() };
    loop {
        tokio::select! {
            () = stop_asked(&mut stop) => break,
            Some(ended) = runner.tasks.join_next() => runner.forget(ended),
            event = events.next() => match event {
                Some(Ok(event)) => runner.hear(event),
                // The watcher goes on by itself.
                Some(Err(error)) => tracing::debug!(%error, "the watch on bound pods was interrupted"),
                None => return Err(anyhow!("the watch on bound pods ended")),
            },
        }
    }
    runner.leave().await;
    Ok(())
}

struct Runner {
    node: Arc<Shared>,
    /// By uid: a name may be taken again while the old pod still ends.
    pods: HashMap<String, watch::Sender<Wish>>,
    /// The pods that the list after a new start of the watch has named so far.
    listed: HashSet<String>,
    tasks: JoinSet<String>,
}

impl Runner {
    fn hear(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Apply(pod) => self.apply(pod),
            watcher::Event::Delete(pod) => self.wish(&pod.uid().unwrap_or_default(), Wish::Gone),
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(pod) => {
                self.listed.insert(pod.uid().unwrap_or_default());
                self.apply(pod);
            }
            watcher::Event::InitDone => {
                for (uid, wish) in &self.pods {
                    if !self.listed.contains(uid) {
                        wish.send_replace(Wish::Gone);
                    }
                }
            }
        }
    }

    fn apply(&mut self, pod: Pod) {
        let (uid, wish) = (pod.uid().unwrap_or_default(), Wish::of(&pod));
        if self.pods.contains_key(&uid) {
            self.wish(&uid, wish);
            return;
        }
        let (sender, receiver) = watch::channel(wish);
        self.pods.insert(uid.clone(), sender);
        let node = Arc::clone(&self.node);
        self.tasks.spawn(async move {
            if let Err(error) = pod::run(node, pod, receiver).await {
                tracing::warn!(error = format!("{error:#}"), "a pod could not be ended in order");
            }
            uid
        });
    }

    fn wish(&self, uid: &str, wish: Wish) {
        if let Some(sender) = self.pods.get(uid) {
            sender.send_if_modified(|old| std::mem::replace(old, wish) != wish);
        }
    }

    fn forget(&mut self, ended: Result<String, JoinError>) {
        match ended {
            Ok(uid) => drop(self.pods.remove(&uid)),
            Err(error) => tracing::error!(%error, "a pod's task panicked"),
        }
    }

    async fn leave(mut self) {
        for wish in self.pods.values() {
            wish.send_if_modified(|old| {
                let run = *old == Wish::Run;
                if run {
                    *old = Wish::Leave;
                }
                run
            });
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.forget(ended);
        }
    }
}
