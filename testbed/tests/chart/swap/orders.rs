//! Ours beside the adapter under a name of its own, in each order of coming and going.

use super::{
    APIS, Swap,
    reader::Metric,
    releases::{ADAPTER, OURS},
    with_swap,
};
use crate::case::chart_path;
use serde_json::Value;
use std::time::Duration;

/// Well below the 15 s between two decisions of an HPA.
const BRIEF: Duration = Duration::from_secs(5);

impl Swap {
    async fn ours(&self, command: &str, more: &[&str]) {
        self.release(command, OURS, &chart_path(), more).await;
    }

    /// The Service that each API leads to.
    async fn leads_to(&self, expected: &str) {
        for api in &APIS[..3] {
            let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{api}");
            let found: Value = self.get(&path).await.unwrap();
            assert_eq!(found["spec"]["service"]["name"], expected, "{api}");
        }
    }

    /// Installs ours beside the adapter without serving anybody, and moves the APIs to it.
    async fn moved(&self, more: &[&str]) {
        self.ours("install", &["--set", "apiServices.create=false"]).await;
        self.ours("upgrade", &[&["--take-ownership"], more].concat()).await;
    }
}

#[test]
fn a_release_beside_the_adapter_takes_the_apis_and_gives_them_back() {
    with_swap(|swap| async move {
        let all = &Metric::ALL;
        swap.adapter_scales().await;
        let refused = swap.helm("install", OURS, &chart_path(), &[]).await.unwrap_err();
        assert!(format!("{refused:#}").contains("invalid ownership metadata"), "{refused:#}");
        let report = swap.during(all, "beside the adapter", swap.moved(&[])).await;
        assert!(report.longest < BRIEF, "{report}");
        swap.leads_to(OURS).await;
        let back = async {
            swap.adapter("upgrade", &["--take-ownership"]).await;
            swap.uninstall(OURS).await;
        };
        let report = swap.during(all, "the adapter takes them back", back).await;
        assert!(report.longest < BRIEF, "{report}");
        swap.leads_to(ADAPTER).await;
    });
}

#[test]
fn after_the_last_provider_deleted_the_apis_an_upgrade_of_the_other_brings_them_back() {
    with_swap(|swap| async move {
        let all = &Metric::ALL;
        swap.adapter_scales().await;
        swap.moved(&[]).await;
        let uninstall = async {
            swap.uninstall(ADAPTER).await;
            // Helm 3 deletes them by their names, whose they are now.
            swap.place.kubectl(&[&["delete", "apiservice"], &APIS[..3]].concat()).await;
            swap.ours("upgrade", &[]).await;
        };
        swap.during(all, "the adapter's uninstall deletes the APIs", uninstall).await;
        swap.scales(all).await;
    });
}
