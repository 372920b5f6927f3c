//! Prometheus itself, without a cluster.

use crate::shared::runtime;
use nix::sys::signal::Signal;
use std::time::Duration;
use testbed::{
    Prometheus, eventually,
    prometheus::{Options, StaticJob},
};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn it_answers_from_imported_samples_and_after_a_restart() {
    runtime().block_on(async {
        let openmetrics = "# TYPE queue gauge\n\
                           queue{namespace=\"a\"} 3 1700000000\n\
                           queue{namespace=\"b\"} NaN 1700000000\n\
                           # EOF\n";
        let options = Options { openmetrics: Some(openmetrics.into()), ..Options::default() };
        let prometheus = Prometheus::start(options).await.unwrap();
        let query = "sort(queue @ 1700000000)";
        let check = async || {
            let samples = prometheus.instant(query).await.unwrap();
            let of = |namespace: &str| {
                samples.iter().find(|sample| sample.labels["namespace"] == namespace).unwrap()
            };
            assert_eq!(of("a").value.to_bits(), 3_f64.to_bits());
            assert!(of("b").value.is_nan());
        };
        check().await;
        let url = prometheus.url().to_owned();
        prometheus.stop().await.unwrap();
        assert!(prometheus.instant(query).await.is_err());
        prometheus.start_again().await.unwrap();
        assert_eq!(prometheus.url(), url);
        check().await;
        let error = prometheus.instant("sum(").await.unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    });
}

#[test]
fn it_scrapes_static_targets_and_can_be_made_to_hang() {
    runtime().block_on(async {
        let prometheus = Prometheus::start(Options::default()).await.unwrap();
        let target = prometheus.url().trim_start_matches("http://").to_owned();
        let labels = vec![("namespace".into(), "monitoring".into())];
        let jobs = vec![StaticJob { name: "other".into(), targets: vec![target], labels, https: None }];
        let scraping = Prometheus::start(Options { jobs, ..Options::default() }).await.unwrap();
        let up = eventually("the target to be up", SOON, || async {
            let samples = scraping.instant("up{job=\"other\",namespace=\"monitoring\"} == 1").await?;
            Ok((samples.len() == 1).then_some(()))
        });
        up.await.unwrap();
        prometheus.signal(Signal::SIGSTOP).await.unwrap();
        let down = eventually("the target to be down", SOON, || async {
            Ok((scraping.instant("up == 0").await?.len() == 1).then_some(()))
        });
        down.await.unwrap();
        prometheus.signal(Signal::SIGCONT).await.unwrap();
        let up = eventually("the target to be up again", SOON, || async {
            Ok((scraping.instant("up == 1").await?.len() == 1).then_some(()))
        });
        up.await.unwrap();
    });
}
