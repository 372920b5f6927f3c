//! The whole server over real TLS on a free port: requests of kube-apiserver's front proxy, and of others.

mod app;
mod contract;
mod custom;
mod fairness;
mod hostile;
mod stopping;
