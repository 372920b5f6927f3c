//! From `helm install` to the first correct answers, where there was no provider.

use super::{APIS, Swap, reader::Metric, releases::OURS, say, with_swap};
use crate::case::chart_path;
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What the project promises on an idle machine is half a minute.
const BOUND: Duration = Duration::from_secs(120);

impl Swap {
    /// The state of an API: `None` without a registration, else whether it is available.
    async fn available(&self, api: &str) -> Option<bool> {
        let found = self.get(&format!("/apis/apiregistration.k8s.io/v1/apiservices/{api}")).await.ok()?;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is = |it: &Value| it["type"] == "Available" && it["status"] == "True";
        Some(conditions.iter().any(is))
    }

    /// For how long an API is registered until it is available.
    async fn unavailable(&self, api: &str) -> Duration {
        let mut registered = None;
        loop {
            match self.available(api).await {
                None => {}
                Some(false) => _ = registered.get_or_insert_with(Instant::now),
                Some(true) => return registered.map_or(Duration::ZERO, |since| since.elapsed()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How long it takes to the first correct answers, and how long the last API is unavailable meanwhile.
    async fn measured_install<Fut: Future<Output = ()>>(self: &Arc<Self>, act: Fut) -> (Duration, Duration) {
        let begin = Instant::now();
        let watch = |api: &'static str| {
            let swap = Arc::clone(self);
            tokio::spawn(async move { swap.unavailable(api).await })
        };
        let watches = [APIS[0], APIS[1], APIS[2]].map(watch);
        let (first, ()) = tokio::join!(
            async {
                self.answers(&Metric::ALL).await;
                begin.elapsed()
            },
            act
        );
        let mut unavailable = Duration::ZERO;
        for watch in watches {
            unavailable = unavailable.max(watch.await.unwrap());
        }
        (first, unavailable)
    }
}

#[test]
fn the_first_correct_answers_come_soon_after_an_installation() {
    with_swap(|swap| async move {
        let install = async |more: &[&str]| {
            swap.helm("install", OURS, &chart_path(), more).await.unwrap();
        };
        let wait: &[&str] = &["--wait", "--timeout", "180s"];
        let hidden = [wait, &["--set", "apiServices.create=false"]].concat();
        for how in ["install", "install --wait", "install without APIServices, then upgrade"] {
            swap.clear().await;
            let act = async {
                match how {
                    "install" => install(&[]).await,
                    "install --wait" => install(wait).await,
                    _ => {
                        install(&hidden).await;
                        swap.helm("upgrade", OURS, &chart_path(), wait).await.unwrap();
                    }
                }
            };
            let (first, unavailable) = swap.measured_install(act).await;
            let [first_seconds, seconds] = [first, unavailable].map(|it| it.as_secs_f64());
            say(&format!("{how}: answers after {first_seconds:.1} s, APIs unavailable for {seconds:.1} s"));
            assert!(first < BOUND, "{how}: {first:?}");
        }
    });
}
