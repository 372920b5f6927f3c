//! Go's `Regexp.Expand`.

/// What a `$` in a template names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group<'a> {
    Number(usize),
    Name(&'a str),
}

/// The template with the text of a group for each `$1`, `${1}` and `$name`. A `$` that begins none of these stays, and
/// `$$` is one `$`. A name is as long as it can be: `$1_total` names the group `1_total`.
pub(super) fn expand<'a, 't>(template: &'a str, mut text: impl FnMut(Group<'a>) -> &'t str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((group, after)) = group(after) {
            out.push_str(text(group));
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out + rest
}

/// The group that is named at the beginning of the text, and what comes after it.
fn group(text: &str) -> Option<(Group<'_>, &str)> {
    let (inner, is_braced) = text.strip_prefix('{').map_or((text, false), |inner| (inner, true));
    let end = inner.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let rest = if is_braced { rest.strip_prefix('}')? } else { rest };
    if name.is_empty() {
        return None;
    }
    // Go takes no number with a zero in front, and none of more than nine digits.
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'))
        && name.len() <= 9;
    let number = is_number.then(|| name.parse().ok()).flatten();
    Some((number.map_or(Group::Name(name), Group::Number), rest))
}
