//! X.509 certificates: which signatures can be verified, and which peers are trusted.

mod algorithms;
mod servers;
mod trusted;

pub(crate) use algorithms::{Unsupported, unsupported_key};
pub(crate) use servers::ServerVerifier;
pub(crate) use trusted::{Purpose, verify_trusted};
