//! A container's own view of the file system: a mount namespace with its volumes, its program and little else.
//!
//! `unshare` makes the namespace, a small script the mounts; both end as the program itself, which so has the number
//! and the signals of what was started. Programs of debug builds are linked dynamically, so that the machine's
//! libraries are in it, but none of its other programs and files.

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const SCRIPT: &str = include_str!("sandbox.sh");
/// Where the tools are that the script needs, and what images have that do not say otherwise.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The machine's folders that a program needs to be started.
const LIBRARIES: [&str; 6] = ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64"];
/// The machine's files that it may look at: how libraries are found, and the public CAs, which our image has too.
const FILES: [&str; 3] = ["/etc/ld.so.cache", "/etc/ssl/certs", "/usr/share/ca-certificates"];

/// Who a container's processes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: u32,
    pub(super) group: u32,
    /// Further groups.
    pub(super) groups: Vec<u32>,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) volume: String,
    pub(super) path: String,
    pub(super) sub_path: Option<String>,
    pub(super) read_only: bool,
}

/// What a container's view is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Where the program is in it.
    pub(super) program: PathBuf,
    pub(super) mounts: Vec<Mount>,
    pub(super) identity: Identity,
    pub(super) read_only: bool,
}

/// How this machine makes namespaces.
#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    unshare: PathBuf,
    /// Not root: a namespace of users is needed as well, in which there is nobody but the container's user.
    with_users: bool,
}

impl Namespaces {
    /// Tries what the kernel allows; the error says what to do.
    pub(super) fn find(unshare: &Path) -> Result<Self> {
        let with_users = |with_users| Self { unshare: unshare.to_owned(), with_users };
        if with_users(false).is_allowed().is_ok() {
            return Ok(with_users(false));
        }
        with_users(true).is_allowed().context(
            "volumes need a mount namespace, which this machine refuses: run as root (a container: with \
             CAP_SYS_ADMIN), or allow user namespaces (sysctl user.max_user_namespaces, \
             kernel.apparmor_restrict_unprivileged_userns=0)",
        )?;
        Ok(with_users(true))
    }

    /// Whether volumes' files can be given to other users.
    pub(super) fn can_give_away(&self) -> bool {
        !self.with_users
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.unshare);
        command.arg("--mount");
        if self.with_users {
            command.args(["--user", "--map-root-user"]);
        }
        command
    }

    fn is_allowed(&self) -> Result<()> {
        let output = self.command().args(["--", "true"]).stdin(Stdio::null()).output();
        let output = output.with_context(|| {
            format!("starting {} of util-linux, which volumes need: install it", self.unshare.display())
        })?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// The command that runs `program` with this view; `root` is an empty folder that becomes its root.
    pub(super) fn run(&self, view: &View, program: &Path, root: &Path, volumes: &Path) -> Result<Command> {
        let mut command = self.command();
        command.args(["--", "/usr/bin/env", PATH, "sh", "-c", SCRIPT, "sandbox"]).arg(root);
        let mut mount = |kind: &str, source: &Path, target: &Path| {
            command.arg(kind).arg(source).arg(target);
        };
        for folder in LIBRARIES.map(Path::new) {
            match fs::read_link(folder) {
                Ok(link) => make_link(&link, &root.join(folder.strip_prefix("/")?))?,
                Err(_) if folder.is_dir() => mount("ro", folder, folder),
                Err(_) => {}
            }
        }
        for file in FILES.map(Path::new).into_iter().filter(|file| file.exists()) {
            mount("ro", file, file);
        }
        for folder in ["/dev", "/proc"].map(Path::new) {
            mount("rw", folder, folder);
        }
        mount("ro", program, &view.program);
        let mut mounts: Vec<&Mount> = view.mounts.iter().collect();
        // A volume may be mounted inside another one.
        mounts.sort_by_key(|it| Path::new(&it.path).components().count());
        for it in mounts {
            let source = source(volumes, it).with_context(|| format!("volumeMount {}", it.path))?;
            mount(if it.read_only { "ro" } else { "rw" }, &source, Path::new(&it.path));
        }
        if view.read_only {
            mount("ro", root, Path::new("/"));
        }
        command.arg("--");
        self.enter(&mut command, view, root);
        command.arg(&view.program);
        Ok(command)
    }

    /// The last step: into the root folder, as the container's user.
    fn enter(&self, command: &mut Command, view: &View, root: &Path) {
        let Identity { user, group, groups } = &view.identity;
        if self.with_users {
            // From the namespace whose root made the mounts into one with the container's user alone.
            command.args(["unshare", "--user"]);
            command.arg(format!("--map-user={user}")).arg(format!("--map-group={group}"));
            command.arg("--root").arg(root).args(["--wd", "/", "--"]);
        } else {
            let groups: Vec<String> = groups.iter().map(|it| format!("+{it}")).collect();
            command.arg("chroot").arg(format!("--userspec=+{user}:+{group}"));
            command.arg(format!("--groups={}", groups.join(","))).arg(root);
        }
    }
}

/// Makes a root folder with the files that every container has; what is mounted comes later.
pub(super) fn make_root(root: &Path, hosts: &str) -> Result<()> {
    let etc = root.join("etc");
    fs::create_dir_all(&etc).with_context(|| format!("making {}", etc.display()))?;
    let usr = root.join("usr");
    fs::create_dir_all(&usr)?;
    for folder in [root, &etc, &usr] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    write(&etc, "nsswitch.conf", "hosts: files\n")?;
    write(&etc, "resolv.conf", "")?;
    write_hosts(root, hosts)
}

/// Replaces the names that programs with this root resolve.
pub(super) fn write_hosts(root: &Path, hosts: &str) -> Result<()> {
    write(&root.join("etc"), "hosts", hosts)
}

/// Whoever reads the file sees the old text or the new one.
fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let next = dir.join(format!("{name}.next"));
    fs::write(&next, text).with_context(|| format!("writing {}", next.display()))?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o644))?;
    fs::rename(&next, dir.join(name)).with_context(|| format!("writing {name}"))
}

/// Makes a link, unless an earlier run of the container has.
fn make_link(target: &Path, link: &Path) -> Result<()> {
    if link.is_symlink() {
        return Ok(());
    }
    symlink(target, link).with_context(|| format!("making {}", link.display()))
}

/// What is mounted: the volume, or what a subPath names in it now.
fn source(volumes: &Path, mount: &Mount) -> Result<PathBuf> {
    let volume = volumes.join(&mount.volume);
    let Some(sub_path) = &mount.sub_path else { return Ok(volume) };
    let path = volume.join(sub_path);
    // Only an emptyDir gets folders; the other volumes have what the API has.
    if !path.exists() && !volume.join("..data").is_symlink() {
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    }
    let path = path.canonicalize().with_context(|| format!("subPath `{sub_path}` does not exist"))?;
    ensure!(path.starts_with(volume.canonicalize()?), "subPath `{sub_path}` leads out of the volume");
    Ok(path)
}

#[cfg(test)]
mod tests;
