//! What the tests of several rooms need: an HTTP server that answers by script, a fake Kubernetes API on it,
//! certificates, a fake backend, rules, the resources of a cluster, and the log.

mod adapter;
mod ca;
pub(crate) mod http;
mod kubernetes;
mod log;
mod prometheus;
mod proxy;
mod rules;
pub(crate) mod series;

pub(crate) use adapter::{adapter_rule, adapter_rule_with, cluster, resource};
pub(crate) use ca::{Ca, Issued, Wanted};
pub(crate) use http::{Play, Request, Server};
pub(crate) use kubernetes::{client_of_nobody, discovery, failure, metadata, metadata_list, version};
pub(crate) use log::Log;
pub(crate) use prometheus::{FakeSource, query, reading, scrape};
pub(crate) use proxy::Proxy;
pub(crate) use rules::{rule, rule_with};
