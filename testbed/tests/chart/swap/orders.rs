//! Ours beside the adapter under a name of its own, in each order of coming and going.

use super::{
    APIS, SOON, Swap,
    level::STEADY,
    reader::Metric,
    releases::{ADAPTER, OURS},
    with_swap,
};
use crate::case::chart_path;

impl Swap {
    async fn ours(&self, command: &str, more: &[&str]) {
        self.release(command, OURS, &chart_path(), more).await;
    }

    /// The Service that each API leads to.
    async fn leads_to(&self, expected: &str) {
        for api in &APIS[..3] {
            let found = self.api_service(api).await;
            assert_eq!(found["spec"]["service"]["name"], expected, "{api}");
        }
    }

    /// Installs ours beside the adapter without serving anybody, and moves the APIs to it.
    async fn moved(&self, install: &[&str], upgrade: &[&str]) {
        let unregistered = ["--set", "apiServices.create=false"];
        self.ours("install", &[&unregistered, install].concat()).await;
        self.ours("upgrade", &[&["--take-ownership"], upgrade].concat()).await;
    }
}

#[test]
fn a_release_beside_the_adapter_takes_the_apis_and_gives_them_back() {
    with_swap(|swap| async move {
        let all = &Metric::ALL;
        // As Helm 3 left it.
        swap.adapter("install", &["--server-side=false"]).await;
        swap.answers(all).await;
        swap.settled(all, STEADY).await;
        let refused = swap.helm("install", OURS, &chart_path(), &[]).await.unwrap_err();
        assert!(format!("{refused:#}").contains("invalid ownership metadata"), "{refused:#}");
        let report = swap.during(all, "beside the adapter", swap.moved(&[], &["--force-conflicts"])).await;
        report.assert_no_gap();
        swap.leads_to(OURS).await;
        let back = async {
            let apply = ["--take-ownership", "--server-side=true", "--force-conflicts"];
            swap.adapter("upgrade", &apply).await;
            swap.uninstall(OURS).await;
        };
        let report = swap.during(all, "the adapter takes them back", back).await;
        report.assert_no_gap();
        swap.leads_to(ADAPTER).await;
    });
}

#[test]
fn after_the_adapter_deleted_the_apis_an_upgrade_of_ours_brings_them_back() {
    with_swap(|swap| async move {
        let all = &Metric::ALL;
        // As Helm 3 does it: with three-way merges, and deleting by name.
        let merge = ["--server-side=false"];
        swap.adapter("install", &merge).await;
        swap.answers(all).await;
        swap.settled(all, STEADY).await;
        swap.moved(&merge, &merge).await;
        // Helm compares with what it would have installed and not with what there is.
        swap.leads_to(ADAPTER).await;
        let uninstall = async {
            swap.uninstall(ADAPTER).await;
            swap.ours("upgrade", &merge).await;
        };
        let report = swap.during(all, "the adapter is uninstalled, then ours registered", uninstall).await;
        assert!(report.longest < SOON, "{report}");
        swap.leads_to(OURS).await;
        swap.scales(all).await;
    });
}
