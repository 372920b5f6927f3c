//! The cache key of a decision.

use sha2::{Digest, Sha256};

use super::Attributes;
use crate::authn::UserInfo;

/// A digest of everything that a review contains: small, however many groups the user has.
pub(super) type Key = [u8; 32];

/// The key of a decision. Each part is written with its length, and each optional part with whether it is present, so
/// that no two requests are written alike.
pub(super) fn of(user: &UserInfo, wanted: &Attributes) -> Key {
    let mut written = Written::default();
    written.text(&user.name);
    written.text(&user.uid);
    written.texts(&user.groups);
    written.number(user.extra.len());
    for (name, values) in &user.extra {
        written.text(name);
        written.texts(values);
    }
    match wanted {
        Attributes::Resource { verb, group, version, namespace, resource, subresource, name } => {
            written.number(0);
            for part in [verb, group, version, resource] {
                written.text(part);
            }
            for part in [namespace, subresource, name] {
                written.texts(part.as_slice());
            }
        }
        Attributes::NonResource { verb, path } => {
            written.number(1);
            written.text(verb);
            written.text(path);
        }
    }
    Sha256::digest(&written.0).into()
}

#[derive(Default)]
struct Written(Vec<u8>);

impl Written {
    fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len());
        for text in texts {
            self.text(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn user(name: &str, groups: &[&str], extra: &[(&str, &[&str])]) -> UserInfo {
        UserInfo {
            name: name.to_owned(),
            uid: String::new(),
            groups: texts(groups),
            extra: extra.iter().map(|(key, values)| ((*key).to_owned(), texts(values))).collect(),
        }
    }

    fn resource(namespace: Option<&str>, resource: &str, name: Option<&str>) -> Attributes {
        Attributes::Resource {
            verb: "list".to_owned(),
            group: "external.metrics.k8s.io".to_owned(),
            version: "v1beta1".to_owned(),
            namespace: namespace.map(str::to_owned),
            resource: resource.to_owned(),
            subresource: None,
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn requests_that_differ_only_in_where_a_part_ends_have_different_keys() {
        let users = [
            user("jane", &[], &[]),
            user("jane", &["a", "b"], &[]),
            user("jane", &["ab"], &[]),
            user("jane", &["a", "b", ""], &[]),
            user("jane", &["b", "a"], &[]),
            user("jan", &["e"], &[]),
            user("jane", &[], &[("a", &["b"])]),
            user("jane", &[], &[("a", &[]), ("b", &[])]),
            user("jane", &[], &[("ab", &[])]),
            user("jane", &["a"], &[("b", &[])]),
        ];
        let page = |path: &str| Attributes::NonResource { verb: "get".to_owned(), path: path.to_owned() };
        let wanted = [
            resource(Some("default"), "queue", None),
            resource(None, "queue", None),
            resource(Some(""), "queue", None),
            resource(Some("defaultq"), "ueue", None),
            resource(Some("default"), "queue", Some("*")),
            resource(Some("default"), "queue*", None),
            page("/metrics"),
            page(""),
        ];
        let keys: HashSet<Key> =
            users.iter().flat_map(|user| wanted.iter().map(|wanted| of(user, wanted))).collect();
        assert_eq!(keys.len(), users.len() * wanted.len());
        assert_eq!(of(&users[1], &wanted[0]), of(&users[1].clone(), &wanted[0].clone()));
    }
}
