//! What a page shows of an output. `…` stands for any text in a line, and a line with nothing else for any lines.
//! Blanks count as one, and empty lines do not count.

/// Whether an output is what a page shows of it.
pub(crate) fn matches(shown: &[String], output: &str) -> bool {
    let shown = lines(shown.iter().map(String::as_str));
    let output = lines(output.lines());
    matches_lines(&shown, &output)
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    words.filter(|line| !line.is_empty()).collect()
}

fn matches_lines(shown: &[String], output: &[String]) -> bool {
    match (shown, output) {
        ([], rest) => rest.is_empty(),
        ([any, shown @ ..], _) if any == "…" => {
            (0..=output.len()).any(|skipped| matches_lines(shown, &output[skipped..]))
        }
        ([_, ..], []) => false,
        ([first, shown @ ..], [line, output @ ..]) => {
            matches_line(first, line) && matches_lines(shown, output)
        }
    }
}

fn matches_line(shown: &str, line: &str) -> bool {
    let Some((before, after)) = shown.split_once('…') else { return shown == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    rest.char_indices()
        .map(|(at, _)| &rest[at..])
        .chain([""])
        .any(|rest| matches_line(after.trim_start(), rest.trim_start()))
}

#[test]
fn an_output_matches_what_is_shown_of_it() {
    for (shown, output, expected) in [
        ("a", "a\n", true),
        ("a  b", "a b", true),
        ("a", "b", false),
        ("a", "a\nb", false),
        ("", "", true),
        ("", "a", false),
        ("worker  3/3  …", "worker   3/3   3     12s", true),
        ("worker  3/3  …", "worker   2/3   3     12s", false),
        (r#"{…"value":"0"}]}"#, r#"{"kind":"L","value":"0"}]}"#, true),
        (r#"{…"value":"0"}]}"#, r#"{"kind":"L","value":"10"}]}"#, false),
        ("a…b…c", "a-b-b-c", true),
        ("a…b…c", "a-c-b", false),
        ("a…", "a", true),
        ("…\nSTATUS: deployed\n…", "NAME: a\n\nSTATUS: deployed\n", true),
        ("…\nSTATUS: deployed\n…", "NAME: a\nSTATUS: failed\n", false),
        ("…\nb", "b", true),
        ("…\nb", "a\nb\nc", false),
    ] {
        let shown_lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        assert_eq!(matches(&shown_lines, output), expected, "{shown} / {output}");
    }
}
