//! The fault rounds of `cargo xtask faults`, cut short, on a cluster of their own: they damage the registered server.

use std::time::Duration;
use testbed::faults::{Options, ROUNDS, run};

/// The HPA looks every second; a fault that it has not heard of by then lasts longer.
const LENGTH: Duration = Duration::from_secs(1);
/// A query that is never answered is waited for until the backend's `timeout` of ten seconds, which is longer than all
/// else here; a Prometheus that hangs shows the HPA the same.
const TOO_LONG: &str = "silent";
/// Of the rule with the longer `maxAge`: it need not run out, so it is as short as the HPA's interval allows.
const MAX_AGE: Duration = Duration::from_secs(2);
/// Other tests take the cores meanwhile, so that only a read that hangs is found out here; `outage` has the bound
/// itself.
const READ_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn no_fault_of_prometheus_or_of_our_servers_moves_an_hpa() {
    crate::shared::runtime().block_on(async {
        let rounds = ROUNDS.into_iter().filter(|round| round.name != TOO_LONG).collect();
        let options = Options { rounds, length: LENGTH, max_age: MAX_AGE, read_within: READ_WITHIN };
        let report = run(&options, |line| println!("{line}")).await.unwrap();
        assert!(report.is_right(), "{}", report.table());
    });
}
