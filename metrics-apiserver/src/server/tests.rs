//! The whole server over real TLS on a free port: requests of kube-apiserver's front proxy, and of others.

mod app;
mod contract;
mod fairness;
mod hostile;
mod stopping;
