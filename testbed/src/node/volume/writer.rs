//! Writes the files of a volume as kubelet's atomic writer does: all of them change at one moment.
//!
//! `KEY` is a link to `..data/KEY`, and `..data` is a link to a folder named after the time, which is replaced.

use super::File;
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Component, Path},
};

/// The link that is replaced.
const DATA: &str = "..data";
/// Its name before it takes the other's place.
const DATA_NEXT: &str = "..data_tmp";

/// Whose the files are: user, group; `None` where the node may not give files away.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::node) struct Owner {
    pub(in crate::node) user: Option<u32>,
    pub(in crate::node) group: Option<u32>,
}

/// Replaces the files in `dir`; `owners` are exceptions from `owner`.
pub(in crate::node) fn write(
    dir: &Path,
    files: &BTreeMap<String, File>,
    owner: Owner,
    owners: &BTreeMap<String, Owner>,
) -> Result<()> {
    let name = Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    let next = dir.join(&name);
    make_dir(dir, owner)?;
    make_dir(&next, owner)?;
    for (path, file) in files {
        let relative = Path::new(path);
        let is_plain = relative.components().all(|it| matches!(it, Component::Normal(_)));
        ensure!(is_plain && !path.is_empty(), "`{path}` leads out of the volume");
        if let Some(parent) = relative.parent() {
            make_dir(&next.join(parent), owner)?;
        }
        let target = next.join(relative);
        fs::write(&target, &file.bytes).with_context(|| format!("writing {}", target.display()))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
        give(&target, *owners.get(path).unwrap_or(&owner))?;
    }
    let old = fs::read_link(dir.join(DATA)).ok();
    symlink(&name, dir.join(DATA_NEXT)).context("making the link to the new files")?;
    fs::rename(dir.join(DATA_NEXT), dir.join(DATA)).context("replacing the link to the files")?;
    link(dir, files)?;
    if let Some(old) = old {
        let _ = fs::remove_dir_all(dir.join(old));
    }
    Ok(())
}

/// Makes what users see: a link for each first part of a path; removes those of files that are gone.
fn link(dir: &Path, files: &BTreeMap<String, File>) -> Result<()> {
    let wanted: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)
                .with_context(|| format!("making {}", link.display()))?;
        }
    }
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(&*name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn make_dir(dir: &Path, owner: Owner) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    give(dir, owner)
}

fn give(path: &Path, owner: Owner) -> Result<()> {
    if owner.user.is_some() || owner.group.is_some() {
        chown(path, owner.user, owner.group).with_context(|| format!("giving {} away", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, File> {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec(), mode: 0o440 };
        files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn put(dir: &Path, wanted: &[(&str, &str)]) {
        write(dir, &files(wanted), Owner::default(), &BTreeMap::new()).unwrap();
    }

    fn names(dir: &Path) -> BTreeSet<String> {
        fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn files_are_replaced_together_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        put(dir, &[("a", "1"), ("sub/b", "2")]);
        let first = fs::read_link(dir.join("..data")).unwrap();
        assert_eq!(fs::read_to_string(dir.join("sub/b")).unwrap(), "2");
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o777, 0o440);
        // Whoever has opened the folder sees the old files still, whole.
        put(dir, &[("a", "3"), ("c", "4")]);
        let second = fs::read_link(dir.join("..data")).unwrap();
        assert_ne!(first, second);
        let second = second.to_str().unwrap();
        assert_eq!(names(dir), ["..data", second, "a", "c"].map(str::to_owned).into());
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "3");
        assert_eq!(fs::read_link(dir.join("c")).unwrap(), Path::new("..data/c"));
    }

    #[test]
    fn no_file_is_written_outside_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../a", "/a", "a/../../b", ""] {
            let error = write(dir.path(), &files(&[(path, "")]), Owner::default(), &BTreeMap::new());
            assert!(error.unwrap_err().to_string().contains("leads out"), "{path}");
        }
    }
}
