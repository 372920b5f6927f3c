//! The flag of the room.

use clap::Args;

use super::ServiceName;

/// Where the `APIService`s should lead.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
#[group(skip)]
pub struct Options {
    /// Service of this server; the log and a metric say when an APIService of its groups leads elsewhere
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub service: Option<ServiceName>,
}
