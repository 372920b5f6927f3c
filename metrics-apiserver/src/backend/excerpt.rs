//! The first words of a response that is not Prometheus', for the log: they show what answers instead.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use reqwest::StatusCode;
use reqwest::header::HeaderValue;

/// What is kept of each body: more than is shown, so that secrets are found as a whole.
const KEPT_BYTES: usize = 4 << 10;

/// What is shown of it: a title or an error message.
const SHOWN_CHARS: usize = 160;

/// What is shown of the content type.
const CONTENT_TYPE_CHARS: usize = 60;

/// Shorter texts are no secrets, and are found in innocent words.
const SECRET_BYTES_MIN: usize = 6;

const REDACTED: &str = "[redacted]";

/// The beginning of a body, kept while it is read.
#[derive(Debug, Default)]
pub(super) struct Beginning(Mutex<Vec<u8>>);

impl Beginning {
    /// Takes what is still missing of it from the next chunk.
    pub(super) fn add(&self, chunk: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = KEPT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..missing.min(chunk.len())]);
    }

    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Texts that are never shown, even if a server repeats them.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<String> =
            texts.into_iter().filter(|text| text.len() >= SECRET_BYTES_MIN).collect();
        // Of two that overlap the longer one is replaced as a whole.
        texts.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts)
    }

    /// The text without the secrets.
    pub(super) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.0.iter().filter(|secret| text.contains(&***secret));
        found.fold(Cow::Borrowed(text), |text, secret| text.replace(&**secret, REDACTED).into())
    }
}

/// Status, content type and first words of a response, and what it probably is.
pub(super) fn excerpt(
    status: StatusCode,
    content_type: Option<&HeaderValue>,
    beginning: &[u8],
    secrets: &Secrets,
) -> String {
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("no content type");
    let content_type: String = content_type.chars().take(CONTENT_TYPE_CHARS).collect();
    let text = String::from_utf8_lossy(beginning);
    let text = secrets.redact(&text);
    let shown = first_words(&text);
    let shown = if shown.is_empty() { "empty body".to_owned() } else { format!("\"{shown}\"") };
    let hint = hint(status, &text).map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{status}, {content_type}, {shown}{hint}")
}

/// On one line, and without control characters: a log is shown on terminals.
pub(super) fn first_words(text: &str) -> String {
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    let mut shown = words.flat_map(str::chars);
    let mut first: String = shown.by_ref().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if shown.next().is_some() {
        first.push('…');
    }
    first
}

/// What a response that is not Prometheus' probably is.
pub(super) fn hint(status: StatusCode, text: &str) -> Option<&'static str> {
    let start = text.trim_start().get(..64).unwrap_or_else(|| text.trim_start()).to_ascii_lowercase();
    if ["# help", "# type", "# unit"].iter().any(|comment| start.starts_with(comment)) {
        Some("this is a page of metrics: `url` is an exporter's, not Prometheus'")
    } else if start.starts_with("<!doctype html") || start.starts_with("<html") {
        Some("this is an HTML page, such as a login: check `url`, its path and the credentials")
    } else if text.contains("no org id") {
        Some("the server needs a tenant: set the header `X-Scope-OrgID`")
    } else if text.contains("unsupported path requested") {
        Some(
            "this part of VictoriaMetrics answers no queries (vmagent, vminsert): use vmselect's or vmsingle's URL",
        )
    } else if status == StatusCode::NOT_FOUND {
        Some("nothing is there: check the path of `url`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(status: u16, content_type: &'static str, body: &str) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        let secrets = Secrets::new(["hunter2-hunter2".to_owned(), "a".to_owned()]);
        excerpt(status, Some(&HeaderValue::from_static(content_type)), body.as_bytes(), &secrets)
    }

    #[test]
    fn the_usual_wrong_servers_are_recognized() {
        for (status, body, hint) in [
            (
                200,
                "# HELP go_goroutines Number of goroutines.\n# TYPE go_goroutines gauge\n",
                "an exporter's",
            ),
            (200, "<!DOCTYPE html>\n<html><title>Log in</title>", "such as a login"),
            (403, "  <html><body>", "such as a login"),
            (401, "no org id\n", "`X-Scope-OrgID`"),
            (400, "unsupported path requested: \"/api/v1/query\"", "vmagent"),
            (404, "404 page not found\n", "check the path"),
        ] {
            let text = shown(status, "text/plain; charset=utf-8", body);
            assert!(text.contains(hint), "{text}");
            assert!(text.contains(", text/plain; charset=utf-8, \""), "{text}");
        }
        assert_eq!(shown(502, "a/b", ""), "502 Bad Gateway, a/b, empty body");
    }

    #[test]
    fn an_excerpt_is_short_is_on_one_line_and_has_no_control_characters_and_no_secrets() {
        let text = shown(500, "text/plain", &format!("a\n\r\n b \u{1b}[31m\u{202e}\"{}", "é".repeat(10_000)));
        assert!(text.contains("\"a b \\u{1b}[31m\\u{202e}\\\"é"), "{text}");
        assert!(text.chars().count() < 300 && text.ends_with("é…\""), "{text}");
        let echoed = shown(500, "text/plain", &format!("{}Bearer hunter2-hunter2", "x".repeat(140)));
        assert!(echoed.contains("Bearer [redacted]") && !echoed.contains("hunter"), "{echoed}");
    }

    #[test]
    fn only_the_beginning_of_a_body_is_kept() {
        let beginning = Beginning::default();
        beginning.add(&[b'a'; 3000]);
        beginning.add(&[b'b'; 3000]);
        beginning.add(&[b'c'; 3000]);
        let kept = beginning.take();
        assert_eq!((kept.len(), kept.last()), (KEPT_BYTES, Some(&b'b')));
    }
}
