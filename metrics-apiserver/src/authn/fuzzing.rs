//! Fuzzing of request headers.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::headers::{ProxyNames, asks_to_impersonate, bearer_token};

/// The first line configures header names (comma-separated lists for user, group, extra and uid, with names separated
/// by spaces); every further line is a header. Only configured headers may affect the user.
pub fn headers(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let configured = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let lists: Vec<Vec<String>> =
        configured.split(',').map(|list| list.split(' ').map(str::to_owned).collect()).collect();
    let list = |index: usize| lists.get(index).cloned().unwrap_or_default();
    let names = ProxyNames::new([Vec::new(), list(0), list(1), list(2), list(3)]);

    let owned: Vec<(String, &[u8])> = lines.filter_map(header).collect();
    let headers: Vec<(&str, &[u8])> = owned.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    names_only_by(&names, &list, &headers);
    token_is_in(&headers);
    let impersonates = headers.iter().any(|(name, _)| name.starts_with("impersonate-"));
    assert_eq!(asks_to_impersonate(&headers), impersonates);
    for (name, _) in &headers {
        key_survives(name);
    }
}

/// Header names are ASCII in lower case, as in [`Credentials`](super::Credentials).
fn header(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = str::from_utf8(line.get(..colon)?).ok().filter(|name| name.is_ascii())?;
    Some((name.to_ascii_lowercase(), line.get(colon + 1..)?))
}

fn names_only_by(names: &ProxyNames, list: &dyn Fn(usize) -> Vec<String>, headers: &[(&str, &[u8])]) {
    let wanted = |index: usize| -> Vec<String> {
        let names = list(index).into_iter().map(|name| name.trim().to_ascii_lowercase());
        names.filter(|name| !name.is_empty()).collect()
    };
    let (users, groups, extras, uids) = (wanted(0), wanted(1), wanted(2), wanted(3));
    let exact =
        |name: &str| [&users, &groups, &uids].iter().any(|list| list.iter().any(|other| other == name));
    let prefixed = |name: &str| extras.iter().any(|prefix| name.starts_with(prefix.as_str()));
    let own: Vec<_> = headers.iter().copied().filter(|(name, _)| exact(name) || prefixed(name)).collect();
    let user = names.user(headers);
    assert_eq!(user, names.user(&own), "other headers change nothing");

    let first = |name: &String| headers.iter().find(|(other, _)| other == name).map(|(_, value)| text(value));
    let expected = users.iter().filter_map(first).find(|value| !value.is_empty());
    assert_eq!(user.as_ref().map(|user| &user.name), expected.as_ref());
    let Some(user) = user else { return };
    let count = |matches: &dyn Fn(&str) -> bool| headers.iter().filter(|(name, _)| matches(name)).count();
    let in_groups: usize = groups.iter().map(|group| count(&|name| name == group)).sum();
    let in_extra: usize = extras.iter().map(|prefix| count(&|name| name.starts_with(prefix.as_str()))).sum();
    assert_eq!(user.groups.len(), in_groups);
    assert_eq!(user.extra.values().map(Vec::len).sum::<usize>(), in_extra);
}

fn token_is_in(headers: &[(&str, &[u8])]) {
    let Some(token) = bearer_token(headers) else { return };
    assert!(!token.is_empty() && !token.contains(&b' '));
    let first = headers.iter().find(|(name, _)| *name == "authorization");
    assert!(first.is_some_and(|(_, value)| value.windows(token.len()).any(|part| part == token)));
}

/// A key that kube-apiserver percent-encodes is decoded to the same key.
fn key_survives(key: &str) {
    let names = ProxyNames::new([vec![], vec!["u".into()], vec![], vec!["x-".into()], vec![]]);
    let name = format!("x-{}", utf8_percent_encode(key, NON_ALPHANUMERIC));
    let user = names.user(&[("u", b"somebody"), (&name, b"value")]);
    assert!(user.is_some_and(|user| user.extra.keys().eq([key])), "{key:?}");
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
