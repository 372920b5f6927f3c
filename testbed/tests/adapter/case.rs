//! A case: a configuration and what is read from the servers that have it, with the adapter's answers.
//!
//! A `.reads` file begins with a comment that says what the case is about, and flags for both servers if it needs any.
//! Then come reads, each with the answer of the adapter in short form (see [`crate::answer`]):
//!
//! ```text
//! # Pods metrics by selector.
//! flag: --prometheus-verb=POST
//!
//! > /apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/*/http_requests?labelSelector=app=web
//! < 200 web-0=500m web-1=1
//! ```
//!
//! Values of parameters are written as they are, not encoded. Between the two lines may stand `as: USER` (else an
//! administrator reads), `accept: TYPE`, and `fault: NAME`, which spoils Prometheus' answers. After them
//! `differs: ID…` names known differences, and `<< ANSWER` is the answer of our server if that differs. Before the
//! first read, `differs:` is about the start of our server, or about how it calls Prometheus.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use testbed::{Fault, workspace};

/// A configuration with its reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// The file's name without its ending.
    pub(crate) name: String,
    pub(crate) configuration: PathBuf,
    /// The text of the `.reads` file.
    pub(crate) text: String,
    pub(crate) flags: Vec<String>,
    /// The known differences of the whole case.
    pub(crate) differs: Vec<String>,
    pub(crate) reads: Vec<Read>,
}

/// One read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Read {
    pub(crate) path: String,
    pub(crate) user: Option<String>,
    pub(crate) accept: Option<String>,
    pub(crate) fault: Option<Fault>,
    /// The adapter's answer in short form.
    pub(crate) answer: String,
    /// The known differences between the two servers.
    pub(crate) differs: Vec<String>,
    /// Our server's answer in short form, if it differs.
    pub(crate) ours: Option<String>,
}

/// The folder with the configurations.
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("testbed/tests/adapter/configurations")
}

/// All cases, in the order of their names.
pub(crate) fn all() -> Result<Vec<Case>> {
    configurations(&folder())?.iter().map(|path| Case::load(path)).collect()
}

/// The configurations in a folder, in the order of their names.
pub(crate) fn configurations(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl Case {
    fn load(configuration: &Path) -> Result<Self> {
        let reads = configuration.with_extension("reads");
        let name = configuration.file_stem().and_then(|name| name.to_str()).context("a file has a name")?;
        let text = std::fs::read_to_string(&reads).with_context(|| format!("reading {}", reads.display()))?;
        let case = Self { name: name.to_owned(), configuration: configuration.to_owned(), ..Self::default() };
        case.parse(text).with_context(|| format!("reading {}", reads.display()))
    }

    fn parse(mut self, text: String) -> Result<Self> {
        ensure!(text.starts_with("# "), "the first line is a comment that says what the case is about");
        for (number, line) in text.lines().enumerate() {
            self.line(line).with_context(|| format!("line {}: {line}", number + 1))?;
        }
        ensure!(!self.reads.is_empty(), "there are no reads");
        self.text = text;
        Ok(self)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(flag) = line.strip_prefix("flag: ") {
            self.flags.push(flag.to_owned());
            return Ok(());
        }
        if let Some(path) = line.strip_prefix("> ") {
            self.reads.push(Read { path: path.to_owned(), ..Read::default() });
            return Ok(());
        }
        let ids = |ids: &str| ids.split(' ').map(str::to_owned).collect();
        let Some(read) = self.reads.last_mut() else {
            self.differs = ids(line.strip_prefix("differs: ").context("a read begins with `> `")?);
            return Ok(());
        };
        match line.split_once(' ').context("a line is a word and its value")? {
            ("as:", user) => read.user = Some(user.to_owned()),
            ("accept:", accept) => read.accept = Some(accept.to_owned()),
            ("fault:", name) => read.fault = Some(fault(name)?),
            ("<", answer) => answer.trim_end().clone_into(&mut read.answer),
            ("differs:", text) => read.differs = ids(text),
            ("<<", ours) => read.ours = Some(ours.trim_end().to_owned()),
            (word, _) => bail!("unknown word `{word}`"),
        }
        Ok(())
    }

    /// The text of the file with these answers: of the adapter, and of our server where they may differ.
    pub(crate) fn with_answers(&self, adapter: &[String], ours: &[String]) -> String {
        let mut text = String::new();
        let mut lines = self.text.lines().filter(|line| !is_answer(line)).peekable();
        let mut read = None;
        while let Some(line) = lines.next() {
            text += line;
            text.push('\n');
            if line.starts_with("> ") {
                read = Some(read.map_or(0, |number: usize| number + 1));
            }
            let Some(number) = read else { continue };
            if is_request(line)
                && !lines.peek().is_some_and(|next| is_request(next) && !next.starts_with("> "))
            {
                text += "< ";
                text += adapter.get(number).map_or("", |answer| answer);
                text.push('\n');
            }
            if let Some(ours) = ours.get(number).filter(|_| line.starts_with("differs: ")) {
                let differs = adapter.get(number) != Some(ours);
                text.extend(differs.then(|| format!("<< {ours}\n")));
            }
        }
        text
    }
}

fn is_answer(line: &str) -> bool {
    line.starts_with("< ") || line.starts_with("<< ")
}

fn is_request(line: &str) -> bool {
    ["> ", "as: ", "accept: ", "fault: "].iter().any(|it| line.starts_with(it))
}

impl Read {
    /// The path, and the decoded parameters.
    pub(crate) fn target(&self) -> (&str, Vec<(&str, &str)>) {
        let (path, parameters) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let parameters = parameters.split('&').filter(|pair| !pair.is_empty());
        (path, parameters.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
    }
}

fn fault(name: &str) -> Result<Fault> {
    Ok(match name {
        "internal-error" => Fault::InternalError,
        "error-status" => Fault::ErrorStatus,
        "garbage" => Fault::Garbage,
        "cut-off" => Fault::CutOff,
        "broken-off" => Fault::BrokenOff,
        "empty" => Fault::Empty,
        _ => bail!("unknown fault `{name}`"),
    })
}

#[test]
fn answers_are_put_below_their_reads() {
    let text =
        "# About.\nflag: --a=b\n\n> /x?s=a=b,c&t=d\nas: viewer\n< 200 old\n> /y\ndiffers: nan\n<< 500\n";
    let case = Case::default().parse(text.into()).unwrap();
    assert_eq!(case.flags, ["--a=b"]);
    assert_eq!(case.reads[0].target(), ("/x", vec![("s", "a=b,c"), ("t", "d")]));
    assert_eq!((case.reads[0].user.as_deref(), case.reads[0].answer.as_str()), (Some("viewer"), "200 old"));
    assert_eq!(case.reads[1].ours.as_deref(), Some("500"));
    let new = case.with_answers(&["200 new".into(), "404".into()], &["200 new".into(), "503".into()]);
    let expected = "# About.\nflag: --a=b\n\n> /x?s=a=b,c&t=d\nas: viewer\n< 200 new\n\
                    > /y\n< 404\ndiffers: nan\n<< 503\n";
    assert_eq!(new, expected);
}
