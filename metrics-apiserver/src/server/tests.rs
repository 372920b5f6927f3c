//! The whole server over real TLS on a free port: requests as kube-apiserver's front proxy sends them, and as others do.

mod app;
mod contract;
mod hostile;
mod stopping;
