//! Runs an image's program in the image's file system without a container runtime: with the image's user, environment
//! and entry point, and the network of the machine.

use crate::{oci::Image, shell};
use anyhow::{Context, Result};
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// What runtimes set if the image does not.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Unpacks an image below a folder; the script there that stands for its program and passes arguments on. The files and
/// folders `visible` are in its file system at the same paths, and their group may read them.
///
/// The script replaces itself by the program, so that signals reach it. Root runs it as the image's user. Others are
/// root in a user namespace, where no other user exists.
pub fn prepare(image: &Image, directory: &Path, visible: &[PathBuf]) -> Result<PathBuf> {
    let root = directory.join("root");
    image.unpack(&root)?;
    let is_root = shell::output(Command::new("id").arg("-u"))?.trim() == "0";
    let script = directory.join("run");
    fs::write(&script, text(image, &root, visible, is_root)?)
        .with_context(|| format!("writing {}", script.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

fn text(image: &Image, root: &Path, visible: &[PathBuf], is_root: bool) -> Result<String> {
    let run = &image.configuration.config;
    let namespaces = if is_root { "--mount" } else { "--mount --user --map-root-user" };
    let root = quoted(&root.display().to_string());
    let mut text = format!(
        "#!/bin/sh\nset -eu\n\
         if [ \"${{1-}}\" != --in-namespace ]; then\n    \
         exec unshare {namespaces} --propagation private \"$0\" --in-namespace \"$@\"\n\
         fi\nshift\nroot={root}\n"
    );
    for path in visible {
        let parent = path.parent().map(|parent| quoted(&parent.display().to_string())).unwrap_or_default();
        let is_dir = path.is_dir();
        let path = quoted(&path.display().to_string());
        let make = if is_dir { "mkdir -p" } else { "touch" };
        writeln!(text, "chmod -R g+rX {path}\nmkdir -p \"$root\"{parent}\n{make} \"$root\"{path}")?;
        writeln!(text, "mount --rbind {path} \"$root\"{path}")?;
    }
    text += "mkdir -p \"$root/dev\"\nmount --rbind /dev \"$root/dev\"\n";
    text += "for file in /etc/hosts /etc/resolv.conf; do\n    mkdir -p \"$root/etc\"\n    \
             touch \"$root$file\"\n    mount --bind \"$file\" \"$root$file\"\ndone\n";
    let environment = run.env.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(" ");
    let group = run.user.split_once(':').map_or("0", |(_, group)| group);
    let user =
        if is_root { format!("--userspec={} --groups={group}", quoted(&run.user)) } else { String::new() };
    let entry_point = run.entrypoint.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(" ");
    writeln!(text, "exec env -i {PATH} {environment} chroot {user} \"$root\" {entry_point} \"$@\"")?;
    Ok(text)
}

/// A word of the shell that stands for itself.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
