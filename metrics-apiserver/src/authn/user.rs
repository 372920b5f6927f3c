//! A user, as Kubernetes identifies one.

use std::collections::BTreeMap;

/// The group of all authenticated users.
const AUTHENTICATED: &str = "system:authenticated";
/// The group of the anonymous user.
const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of the anonymous user.
const ANONYMOUS: &str = "system:anonymous";

/// The attributes of a user that authorization depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The user name, such as `system:serviceaccount:default:web`.
    pub name: String,
    /// The unique ID; empty if there is none.
    pub uid: String,
    /// The groups, in the order of the credentials.
    pub groups: Vec<String>,
    /// Extra attributes, by key; keys from headers are in lower case.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// The user of a request without credentials.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// Whether the user is anonymous, here or for the kube-apiserver that passed the request on.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS || self.groups.iter().any(|group| group == UNAUTHENTICATED)
    }

    /// Adds the group `system:authenticated`, as kube-apiserver does: RBAC binds `system:discovery` to it, and the
    /// aggregator's own requests name no group.
    pub(super) fn authenticated(mut self) -> Self {
        if !self.is_anonymous() && !self.groups.iter().any(|group| group == AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}
