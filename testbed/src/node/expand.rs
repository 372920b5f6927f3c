//! `$(NAME)` in arguments and environment values, as Kubernetes expands it.

use std::collections::BTreeMap;

/// Replaces `$(NAME)` by the variable's value. An unknown name stays as it is, and `$$` is a `$` that begins nothing.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|it| it.split_once(')')) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_kubernetes_does_it() {
        let variables = BTreeMap::from([("POD_IP".to_owned(), "127.1.2.3".to_owned())]);
        for (text, expected) in [
            ("--bind-address=$(POD_IP)", "--bind-address=127.1.2.3"),
            ("$(POD_IP):$(POD_IP)", "127.1.2.3:127.1.2.3"),
            ("$(NOBODY)", "$(NOBODY)"),
            ("$$(POD_IP)", "$(POD_IP)"),
            ("$POD_IP", "$POD_IP"),
            ("$(POD_IP", "$(POD_IP"),
            ("5$", "5$"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
    }
}
