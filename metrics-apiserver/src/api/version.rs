//! The versions of groups that have several: which one a client reads.

/// The version of `custom.metrics.k8s.io` that a client reads. Only the form of the answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomVersion {
    /// `v1beta1`.
    V1Beta1,
    /// `v1beta2`, which HPAs of today ask for where it is registered.
    V1Beta2,
}

/// The version of `metrics.k8s.io` that a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageVersion {
    /// `metrics.k8s.io/v1beta1`.
    V1Beta1,
    /// `metrics.k8s.io/v1`, since Kubernetes 1.37.
    V1,
}

impl UsageVersion {
    /// Group and version as `apiVersion` writes them.
    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::V1Beta1 => "metrics.k8s.io/v1beta1",
            Self::V1 => "metrics.k8s.io/v1",
        }
    }
}
