//! The file that node_exporter's textfile collector reads: always a whole one, or none.
//!
//! Must not know: what is in it.

use anyhow::{Context, Result, ensure};
use std::fs::{self, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The collector passes over other files.
const ENDING: &str = "prom";
/// The collector is another user; the folder may keep others out.
const MODE: u32 = 0o644;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct TextFile(PathBuf);

impl TextFile {
    /// The file at `path`.
    ///
    /// # Errors
    /// Where the collector would not read it.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        let ends = path.extension().is_some_and(|end| end == ENDING);
        ensure!(ends, "{}: node_exporter reads files that end with .{ENDING}", path.display());
        Ok(Self(path.to_owned()))
    }

    /// Puts `text` in its place, at once. A link there is replaced and not followed.
    ///
    /// # Errors
    /// Where that cannot be; the file that was there stays then.
    pub(crate) fn write(&self, text: &str) -> Result<()> {
        // Nobody can have put something at a name that nobody can guess.
        let number = RandomState::new().hash_one(std::process::id());
        let draft = self.0.with_file_name(format!(".spandrel-{number:016x}.draft"));
        let written = self.write_by(&draft, text).with_context(|| format!("{}", self.0.display()));
        if written.is_err() {
            // It may not be there.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn write_by(&self, draft: &Path, text: &str) -> Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(draft)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        Ok(fs::rename(draft, &self.0)?)
    }

    /// Removes it, so that nobody takes its figures for new ones.
    pub(crate) fn remove(&self) {
        // It may be gone already.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let [path, victim] = ["a.prom", "victim"].map(|name| folder.path().join(name));
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let file = TextFile::at(&path).unwrap();
        for text in ["one\n", "two\n"] {
            file.write(text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let data = fs::symlink_metadata(&path).unwrap();
        assert!(data.is_file() && data.permissions().mode() & 0o777 == MODE);
        assert_eq!(
            (fs::read_to_string(&victim).unwrap().as_str(), fs::read_dir(&folder).unwrap().count()),
            ("untouched", 2)
        );
        file.remove();
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_written_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.prom");
        fs::create_dir_all(path.join("full")).unwrap();
        let error = TextFile::at(&path).unwrap().write("x").unwrap_err();
        assert!(format!("{error:#}").contains("a.prom") && fs::read_dir(&folder).unwrap().count() == 1);
        assert!(TextFile::at(Path::new("a.txt")).unwrap_err().to_string().contains(".prom"));
    }
}
