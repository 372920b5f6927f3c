//! X.509 certificates: which signatures can be verified, and which servers are trusted.

mod algorithms;
mod servers;

pub(crate) use algorithms::{Unsupported, unsupported_key};
pub(crate) use servers::ServerVerifier;
