//! The copy of the sources that mutants are applied to.
//!
//! Knows: which files belong to the repository. Must not know: what is changed in the copy.
//!
//! # Invariants
//! - A file of the copy is written only where its content differs, so that builds see what changed and nothing else.

use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of the repository at one place.
#[derive(Debug)]
pub struct Tree {
    /// Its root.
    pub root: PathBuf,
}

impl Tree {
    /// Makes the copy at `root` what the repository at `origin` is: all files that git knows or would add.
    ///
    /// # Errors
    /// When git or the file system refuses.
    pub fn of(origin: &Path, root: PathBuf) -> Result<Self> {
        let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").arg("-C").arg(origin).args(words).output().context("cannot run git")?;
        if !output.status.success() {
            bail!("git: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let listed = String::from_utf8(output.stdout).context("a name is not UTF-8")?;
        let names = listed.split_terminator('\0').map(PathBuf::from);
        // Files that were removed and not yet committed are listed, too.
        let names: HashSet<PathBuf> = names.filter(|name| origin.join(name).symlink_metadata().is_ok()).collect();
        fs::create_dir_all(&root)?;
        remove_others(&root, Path::new(""), &names)?;
        for name in &names {
            copy(&origin.join(name), &root.join(name)).with_context(|| format!("cannot copy {}", name.display()))?;
        }
        Ok(Self { root })
    }

    /// Has `file` hold `text` until what is returned is dropped.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn change(&self, file: &str, text: &str) -> Result<Changed> {
        let path = self.root.join(file);
        let before = fs::read_to_string(&path)?;
        fs::write(&path, text)?;
        Ok(Changed { path, before })
    }
}

/// A file that is other than it should be.
#[derive(Debug)]
pub struct Changed {
    path: PathBuf,
    before: String,
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            eprintln!("{} stays changed: {error}", self.path.display());
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let data = fs::symlink_metadata(from)?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if data.is_symlink() {
        let target = fs::read_link(from)?;
        if fs::read_link(to).is_ok_and(|now| now == target) {
            return Ok(());
        }
        // Fails where there is nothing.
        let _ = fs::remove_file(to);
        return Ok(std::os::unix::fs::symlink(target, to)?);
    }
    let content = fs::read(from)?;
    if fs::read(to).is_ok_and(|now| now == content) {
        return Ok(());
    }
    fs::write(to, content)?;
    Ok(fs::set_permissions(to, data.permissions())?)
}

/// Removes what is in the copy's folder `below` and not among `names`.
fn remove_others(root: &Path, below: &Path, names: &HashSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            remove_others(root, &name, names)?;
        } else if !names.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(root: &Path, words: &[&str]) {
        assert!(Command::new("git").arg("-C").arg(root).args(words).output().unwrap().status.success());
    }

    #[test]
    fn the_copy_follows_what_git_knows() {
        let (origin, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (origin, copy) = (origin.path(), copy.path().to_path_buf());
        git(origin, &["init", "-q"]);
        fs::create_dir(origin.join("deep")).unwrap();
        for (name, text) in [("a", "1"), ("deep/b", "2"), ("ignored", "3"), (".gitignore", "ignored\n")] {
            fs::write(origin.join(name), text).unwrap();
        }
        let tree = Tree::of(origin, copy.clone()).unwrap();
        let read = |name: &str| fs::read_to_string(copy.join(name)).ok();
        assert_eq!((read("a"), read("deep/b"), read("ignored")), (Some("1".into()), Some("2".into()), None));
        let time = |name: &str| fs::metadata(copy.join(name)).unwrap().modified().unwrap();
        let before = time("a");
        // Interrupted before the change was taken back.
        core::mem::forget(tree.change("deep/b", "changed").unwrap());
        fs::remove_file(origin.join(".gitignore")).unwrap();
        Tree::of(origin, copy.clone()).unwrap();
        assert_eq!((read("deep/b"), read("ignored"), read(".gitignore")), (Some("2".into()), Some("3".into()), None));
        assert_eq!(time("a"), before);
    }

    #[test]
    fn a_change_is_taken_back() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), "before").unwrap();
        let tree = Tree { root: root.path().to_path_buf() };
        let read = || fs::read_to_string(root.path().join("a")).unwrap();
        let changed = tree.change("a", "after").unwrap();
        assert_eq!(read(), "after");
        drop(changed);
        assert_eq!(read(), "before");
    }
}
