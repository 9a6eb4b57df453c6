//! Folders for files that are not finished, which do not outlive their command, and names that nobody can guess.
//!
//! Must not know: what the files are.

use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How the names of such folders begin.
const BEGINNING: &str = ".spandrel-";

/// A number that no other process can know before.
fn unguessable() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// A folder for files that are not finished. It is locked while its command lives, and gone afterwards; the next
/// command removes one whose command was killed.
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: Option<File>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Scratch {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// One in the folder of `output`.
    ///
    /// # Errors
    /// Where none can be made there, or where the library would take its path for a pattern.
    pub(crate) fn beside(output: &Path) -> Result<Self> {
        let beside = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = beside.canonicalize().with_context(|| format!("{}", beside.display()))?;
        ensure!(
            !beside.to_string_lossy().contains('%'),
            "{}: a path without `%`, which is the library's",
            beside.display()
        );
        sweep(&beside);
        loop {
            let path = beside.join(format!("{BEGINNING}{}", unguessable()));
            fs::create_dir(&path).with_context(|| format!("{}", path.display()))?;
            let locked = lock(&path);
            // Another command may have found it without the lock, and removed it; none does where there are no locks.
            if path.is_dir() && !matches!(locked, Ok(None)) {
                return Ok(Self { path, _lock: locked.ok().flatten() });
            }
        }
    }
}

/// The lock of a folder; `None` if another process has it. It ends with the process, whatever ends that.
///
/// # Errors
/// Where the folder is gone, or cannot be locked.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY).open(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes what killed commands left in `folder`.
fn sweep(folder: &Path) {
    let is_scratch = |name: &OsStr| {
        let number = name.to_str().and_then(|name| name.strip_prefix(BEGINNING)).unwrap_or_default();
        number.len() == unguessable().len() && number.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_scratch(&entry.file_name())) {
        if let Ok(Some(_lock)) = lock(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_command_holds_is_removed_and_all_else_stays() {
        let beside = tempfile::tempdir().unwrap();
        let left = beside.path().join(format!("{BEGINNING}{}", unguessable()));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("file"), "").unwrap();
        let others = [".spandrel-mine", "spandrel-0123456789abcdef", ".spandrel-0123456789abcdeg"];
        others.iter().for_each(|name| fs::create_dir(beside.path().join(name)).unwrap());
        let target = beside.path().join(others[0]);
        let link = beside.path().join(".spandrel-0123456789abcdef");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let first = Scratch::beside(&beside.path().join("output")).unwrap();
        let second = Scratch::beside(&beside.path().join("output")).unwrap();
        assert!(!left.exists() && first.path().is_dir() && second.path().is_dir() && target.is_dir());
        assert!(fs::symlink_metadata(&link).is_ok());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().is_dir());
    }

    #[test]
    fn paths_that_would_be_patterns_are_refused() {
        let beside = tempfile::tempdir().unwrap();
        let folder = beside.path().join("100%");
        fs::create_dir(&folder).unwrap();
        assert!(Scratch::beside(&folder.join("output")).err().unwrap().to_string().contains('%'));
    }
}
