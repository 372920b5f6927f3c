//! Files that are read again while the server runs.
//!
//! Mounted Secrets and `ConfigMap`s change by a swap of symbolic links, which a watch on the file does not survive. So
//! files are polled and compared by content. New content is returned once it has not changed for [`DEBOUNCE`]: a
//! file that is being written may be incomplete, and of a pair only one file may have been replaced yet.
//!
//! The caller keeps its last good content. Content that it cannot use, or a file that cannot be read, is returned once
//! as well, so a problem is reported once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ReadError, read};

/// How often files are read. Kubelet follows a changed Secret within about a minute, so this adds little.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// How long new content must stay the same.
pub(crate) const DEBOUNCE: Duration = Duration::from_secs(1);

/// The contents of files that belong together, in the order of their paths.
pub(crate) type Contents = Vec<Vec<u8>>;

/// Files that belong together, such as a certificate and its key. Not `Debug`: contents may be secrets.
pub(crate) struct WatchedFiles {
    paths: Arc<[PathBuf]>,
    bytes_max: u64,
    /// What was returned last.
    known: Option<Seen>,
    /// What is new, and since when.
    pending: Option<(Seen, Instant)>,
}

/// What the files hold, or why they cannot be read.
#[derive(PartialEq, Eq)]
enum Seen {
    Contents(Contents),
    Unreadable(String),
}

impl WatchedFiles {
    /// Files of at most `bytes_max` bytes each. Reads nothing yet.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>, bytes_max: u64) -> Self {
        Self { paths: paths.into_iter().collect(), bytes_max, known: None, pending: None }
    }

    /// What the files hold now, without debounce.
    pub(crate) fn read(&mut self) -> Result<Contents, ReadError> {
        let contents = read_all(&self.paths, self.bytes_max);
        (self.known, self.pending) = (Some(Seen::new(&contents)), None);
        contents
    }

    /// Reads the files; returns new content that has not changed for [`DEBOUNCE`].
    pub(crate) fn poll(&mut self) -> Option<Result<Contents, ReadError>> {
        let contents = read_all(&self.paths, self.bytes_max);
        self.observe(contents, Instant::now())
    }

    /// Waits until there is something new, reading the files every [`POLL_INTERVAL`]. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Result<Contents, ReadError> {
        loop {
            sleep(self.poll_interval()).await;
            let (paths, bytes_max) = (Arc::clone(&self.paths), self.bytes_max);
            // Fails only when the runtime ends, and this task with it.
            if let Ok(contents) = tokio::task::spawn_blocking(move || read_all(&paths, bytes_max)).await
                && let Some(new) = self.observe(contents, Instant::now())
            {
                return new;
            }
        }
    }

    /// When it is worth polling again.
    pub(crate) fn poll_interval(&self) -> Duration {
        if self.pending.is_some() { DEBOUNCE } else { POLL_INTERVAL }
    }

    /// New contents that are still being debounced.
    pub(crate) fn pending(&self) -> Option<&Contents> {
        match &self.pending {
            Some((Seen::Contents(contents), _)) => Some(contents),
            _ => None,
        }
    }

    fn observe(
        &mut self,
        contents: Result<Contents, ReadError>,
        now: Instant,
    ) -> Option<Result<Contents, ReadError>> {
        let seen = Seen::new(&contents);
        if self.known.as_ref() == Some(&seen) {
            self.pending = None;
            return None;
        }
        let since =
            self.pending.take().filter(|(pending, _)| *pending == seen).map_or(now, |(_, since)| since);
        if now - since < DEBOUNCE {
            self.pending = Some((seen, since));
            return None;
        }
        self.known = Some(seen);
        Some(contents)
    }
}

impl Seen {
    fn new(contents: &Result<Contents, ReadError>) -> Self {
        match contents {
            Ok(contents) => Self::Contents(contents.clone()),
            Err(ReadError { path, source }) => Self::Unreadable(format!("{}: {source}", path.display())),
        }
    }
}

fn read_all(paths: &[PathBuf], bytes_max: u64) -> Result<Contents, ReadError> {
    paths.iter().map(|path| read(path, bytes_max)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use tempfile::TempDir;
    use tokio::time::advance;

    use super::*;

    fn write(dir: &TempDir, name: &str, content: &str) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn watch(paths: &[&Path]) -> WatchedFiles {
        let mut files = WatchedFiles::new(paths.iter().map(|path| path.to_path_buf()), 1 << 10);
        files.read().unwrap();
        files
    }

    /// What two polls return, with the debounce between them.
    async fn settled(files: &mut WatchedFiles) -> Option<Result<Contents, ReadError>> {
        assert!(files.poll().is_none());
        advance(DEBOUNCE).await;
        files.poll()
    }

    #[tokio::test(start_paused = true)]
    async fn new_content_is_given_out_once_and_only_after_it_stayed_the_same() {
        let dir = TempDir::new().unwrap();
        let path = write(&dir, "token", "first");
        let mut files = watch(&[&path]);
        assert!(settled(&mut files).await.is_none(), "nothing is new");
        for content in ["sec", "second"] {
            write(&dir, "token", content);
            assert!(files.poll().is_none());
            assert_eq!((files.pending(), files.poll_interval()), (Some(&vec![content.into()]), DEBOUNCE));
            advance(DEBOUNCE / 2).await;
            assert!(files.poll().is_none());
        }
        advance(DEBOUNCE / 2).await;
        assert_eq!(files.poll().unwrap().unwrap(), [b"second"]);
        assert!(settled(&mut files).await.is_none());
        assert_eq!((files.pending(), files.poll_interval()), (None, POLL_INTERVAL));
    }

    #[tokio::test(start_paused = true)]
    async fn files_of_a_pair_are_given_out_together() {
        let dir = TempDir::new().unwrap();
        let (certificate, key) = (write(&dir, "tls.crt", "c1"), write(&dir, "tls.key", "k1"));
        let mut files = watch(&[&certificate, &key]);
        write(&dir, "tls.crt", "c2");
        assert!(files.poll().is_none());
        advance(DEBOUNCE / 2).await;
        write(&dir, "tls.key", "k2");
        assert!(files.poll().is_none());
        advance(DEBOUNCE / 2).await;
        assert!(files.poll().is_none(), "the pair is younger than its first file");
        advance(DEBOUNCE / 2).await;
        assert_eq!(files.poll().unwrap().unwrap(), [b"c2", b"k2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_that_is_replaced_by_a_swap_of_links_is_seen() {
        let dir = TempDir::new().unwrap();
        for version in ["v1", "v2"] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
            write(&dir, &format!("{version}/token"), version);
        }
        let (data, next, token) =
            (dir.path().join("..data"), dir.path().join("..next"), dir.path().join("token"));
        symlink("v1", &data).unwrap();
        symlink("..data/token", &token).unwrap();
        let mut files = watch(&[&token]);
        symlink("v2", &next).unwrap();
        std::fs::rename(&next, &data).unwrap();
        assert_eq!(settled(&mut files).await.unwrap().unwrap(), [b"v2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_read_is_reported_once_and_seen_when_it_is_back() {
        let dir = TempDir::new().unwrap();
        let path = write(&dir, "token", "first");
        let mut files = watch(&[&path]);
        std::fs::remove_file(&path).unwrap();
        let error = settled(&mut files).await.unwrap().unwrap_err();
        assert_eq!((&error.path, error.source.kind()), (&path, std::io::ErrorKind::NotFound));
        assert!(settled(&mut files).await.is_none());
        write(&dir, "token", "first");
        assert_eq!(settled(&mut files).await.unwrap().unwrap(), [b"first"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_and_a_file_that_is_too_large_are_refused_without_blocking() {
        let dir = TempDir::new().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let large = write(&dir, "large", &"x".repeat(1025));
        for (path, expected) in [
            (&pipe, "is not a regular file"),
            (&large, "is larger than 1024 bytes"),
            (&dir.path().into(), "is not a"),
        ] {
            let error = WatchedFiles::new([path.clone()], 1024).read().unwrap_err();
            assert!(error.source.to_string().starts_with(expected), "{:?}", error.source);
        }
        write(&dir, "large", &"x".repeat(1024));
        assert!(WatchedFiles::new([large], 1024).read().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_waited_for() {
        let dir = TempDir::new().unwrap();
        let path = write(&dir, "ca.crt", "first");
        let mut files = watch(&[&path]);
        write(&dir, "ca.crt", "second");
        let began = Instant::now();
        assert_eq!(files.changed().await.unwrap(), [b"second"]);
        assert_eq!(began.elapsed(), POLL_INTERVAL + DEBOUNCE);
    }
}
