//! The sample request of the `check` command.

use clap::Args;

use crate::metric::{Namespace, Selector};
use crate::rules::{Plan, PlanError, Rule};

/// A request as an HPA sends it, from the command line.
#[derive(Debug, Clone, Args)]
pub struct SampleRequest {
    /// Namespace of the sample request
    #[arg(long, value_name = "NAMESPACE", default_value = "default", value_parser = Namespace::parse)]
    namespace: Namespace,
    /// Label selector of the sample request, such as `app=web,tier in (a,b)`
    #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = clap::value_parser!(Selector))]
    selector: Selector,
}

impl SampleRequest {
    /// The plan of a rule for this request.
    pub fn plan(&self, rule: &Rule) -> Result<Plan, PlanError> {
        rule.plan(&self.namespace, &self.selector)
    }
}
