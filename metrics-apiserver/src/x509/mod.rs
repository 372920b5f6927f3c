//! X.509 certificates: which signatures can be verified.

mod algorithms;

pub(crate) use algorithms::{Unsupported, unsupported_key};
