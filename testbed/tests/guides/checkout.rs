//! What a reader of the guides has: the repository's charts and guides, and the tools.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};
use testbed::{Tools, tools, workspace};
use tokio::process::Command;

/// The folders that commands name.
const FOLDERS: [&str; 2] = ["charts", "guides"];

/// A copy of the folders, since some commands write beside what they read.
pub(crate) struct Checkout {
    root: PathBuf,
    kubeconfig: PathBuf,
    path: String,
}

impl Checkout {
    /// Makes it below an existing folder.
    pub(crate) async fn new(state: &Path, kubeconfig: &Path) -> Self {
        let (root, programs) = (state.join("checkout"), state.join("programs"));
        for folder in FOLDERS {
            copy(&workspace::root().join(folder), &root.join(folder)).unwrap();
        }
        fs::create_dir(&programs).unwrap();
        symlink(Tools::ensure().await.unwrap().kubectl(), programs.join("kubectl")).unwrap();
        symlink(tools::helm().await.unwrap(), programs.join("helm")).unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        Self { root, kubeconfig: kubeconfig.to_owned(), path }
    }

    /// Its root, in which commands run.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Runs a command as a shell does. Gives what it printed, with what it complained about, and whether it succeeded.
    pub(crate) async fn shell(&self, command: &str) -> (String, bool) {
        let output = Command::new("/bin/sh")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(&self.root)
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            // For the caches of kubectl and Helm.
            .env("HOME", &self.root)
            .env_remove("KUBECACHEDIR")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
