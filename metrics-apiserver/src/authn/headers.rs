//! Credentials in request headers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::user::UserInfo;

/// Headers as [`Credentials`](super::Credentials) holds them.
type Headers<'a> = &'a [(&'a str, &'a [u8])];

/// The prefix of all impersonation headers.
const IMPERSONATE: &str = "impersonate-";

/// The allowed names of the front proxy, and the headers in which it names the user. Header names are in lower case and
/// not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProxyNames {
    /// Common names of its certificate; empty means any.
    allowed_names: Vec<String>,
    username: Vec<String>,
    group: Vec<String>,
    extra_prefixes: Vec<String>,
    uid: Vec<String>,
}

impl ProxyNames {
    /// From the lists of allowed names, username headers, group headers, extra prefixes and uid headers.
    /// An empty header name is ignored: as a prefix it would match every header.
    pub(super) fn new(lists: [Vec<String>; 5]) -> Self {
        let [allowed_names, username, group, extra_prefixes, uid] = lists;
        Self {
            allowed_names,
            username: header_names(username),
            group: header_names(group),
            extra_prefixes: header_names(extra_prefixes),
            uid: header_names(uid),
        }
    }

    /// As [`new`](Self::new), where a list that is `None` stays as it is `known`; `None` if it is not known.
    pub(super) fn merged(lists: [Option<Vec<String>>; 5], known: Option<&Self>) -> Option<Self> {
        let [allowed_names, username, group, extra_prefixes, uid] = lists;
        Some(Self::new([
            allowed_names.or_else(|| Some(known?.allowed_names.clone()))?,
            username.or_else(|| Some(known?.username.clone()))?,
            group.or_else(|| Some(known?.group.clone()))?,
            extra_prefixes.or_else(|| Some(known?.extra_prefixes.clone()))?,
            uid.or_else(|| Some(known?.uid.clone()))?,
        ]))
    }

    /// Whether a client with this common name is the front proxy.
    pub(super) fn allows(&self, common_name: &str) -> bool {
        self.allows_any() || self.allowed_names.iter().any(|name| name == common_name)
    }

    /// Whether every client that the CA signed is the front proxy.
    pub(super) fn allows_any(&self) -> bool {
        self.allowed_names.is_empty()
    }

    /// The user in the headers; `None` without a user name.
    pub(super) fn user(&self, headers: Headers<'_>) -> Option<UserInfo> {
        Some(UserInfo {
            name: first_value(&self.username, headers)?,
            uid: first_value(&self.uid, headers).unwrap_or_default(),
            groups: self.group.iter().flat_map(|name| values(name, headers)).collect(),
            extra: self.extra(headers),
        })
    }

    fn extra(&self, headers: Headers<'_>) -> BTreeMap<String, Vec<String>> {
        let mut extra = BTreeMap::<_, Vec<_>>::new();
        for prefix in &self.extra_prefixes {
            for (name, value) in headers {
                if let Some(key) = name.strip_prefix(prefix.as_str()) {
                    extra.entry(extra_key(key)).or_default().push(text(value));
                }
            }
        }
        extra
    }
}

/// Whether the request has an impersonation header.
pub(super) fn asks_to_impersonate(headers: Headers<'_>) -> bool {
    headers.iter().any(|(name, _)| name.starts_with(IMPERSONATE))
}

/// The token of an `Authorization: Bearer <token>` header; `None` if there is none.
pub(super) fn bearer_token(headers: Headers<'_>) -> Option<&[u8]> {
    let (_, value) = headers.iter().find(|(name, _)| *name == "authorization")?;
    let mut words = value.trim_ascii().split(|byte| *byte == b' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

fn header_names(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}

/// The first value of the first of these headers whose first value is not empty.
fn first_value(names: &[String], headers: Headers<'_>) -> Option<String> {
    names.iter().filter_map(|name| values(name, headers).next()).find(|value| !value.is_empty())
}

/// All values of a header, in order.
fn values<'a>(name: &'a str, headers: Headers<'a>) -> impl Iterator<Item = String> + 'a {
    headers.iter().filter(move |(other, _)| *other == name).map(|(_, value)| text(value))
}

/// Invalid UTF-8 becomes U+FFFD, as it would in the JSON of a review; no such user has permissions.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// The key of an extra attribute. kube-apiserver percent-encodes what a header name cannot contain; a key that cannot
/// be decoded was not encoded.
fn extra_key(encoded: &str) -> String {
    let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    let is_encoded = encoded.split('%').skip(1).all(|rest| rest.as_bytes().get(..2).is_some_and(is_hex));
    let decoded = percent_decode_str(encoded).decode_utf8().ok().filter(|_| is_encoded);
    decoded.map_or_else(|| encoded.to_owned(), Cow::into_owned)
}
