//! Names of code that was made at run time, as interpreters write them for perf: `/tmp/perf-PID.map`, with a line
//! `START BYTES NAME` for each piece of code.
//!
//! The file is not trusted: anybody may put one into `/tmp`. It has to be the user's, is not followed elsewhere, and
//! counts only up to the sizes below.

use crate::symbols::Frame;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of a file that are read, pieces of code, and letters of a name.
const BYTES_MAX: u64 = 64 << 20;
const PIECES_MAX: usize = 1 << 20;
const NAME_MAX: usize = 1 << 10;

/// Before the name and the file of a Python function.
const PYTHON: &str = "py::";
/// Before the name and the place of a function of JavaScript; behind it a mark for the compiler.
const SCRIPT: [&str; 2] = ["JS:", "LazyCompile:"];
const MARKS: [char; 4] = ['~', '*', '^', '+'];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PerfMap {
    /// The end and the name of each piece of code, by its start.
    pieces: BTreeMap<u64, (u64, String)>,
}

/// The file of process `id` in `/tmp`, seen from the process's `root`.
pub(crate) fn path(root: &Path, id: u32) -> PathBuf {
    root.join(format!("tmp/perf-{id}.map"))
}

/// Whether a file is one to be read: plain, and `user`'s.
fn is_sound(data: &fs::Metadata, user: u32) -> bool {
    data.is_file() && data.uid() == user
}

/// Removes the file at `path` if it is the user's and was written since `start`.
pub(crate) fn remove(path: &Path, user: u32, start: SystemTime) {
    let is_new = |data: &fs::Metadata| data.modified().is_ok_and(|time| time >= start);
    if fs::symlink_metadata(path).is_ok_and(|data| is_sound(&data, user) && is_new(&data)) {
        let _ = fs::remove_file(path);
    }
}

impl PerfMap {
    /// The names in the file at `path`; none where it is absent or not to be trusted.
    pub(crate) fn read(path: &Path, user: u32) -> Self {
        let open = || -> Option<File> {
            let mut options = OpenOptions::new();
            // A pipe in its place is not waited for.
            options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let file = options.open(path).ok()?;
            file.metadata().is_ok_and(|data| is_sound(&data, user)).then_some(file)
        };
        let mut text = Vec::new();
        if let Some(file) = open()
            && file.take(BYTES_MAX).read_to_end(&mut text).is_err()
        {
            text.clear();
        }
        Self::parse(&text)
    }

    fn parse(text: &[u8]) -> Self {
        let mut map = Self::default();
        for line in text.split(|&byte| byte == b'\n').take(PIECES_MAX) {
            map.add(line);
        }
        map
    }

    /// Adds a piece. Code may take the place of older code, so a later line counts.
    fn add(&mut self, line: &[u8]) -> Option<()> {
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let mut number = || {
            let digits = str::from_utf8(words.next()?).ok()?;
            u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
        };
        let (start, len) = (number()?, number()?);
        let end = start.checked_add(len).filter(|_| len > 0)?;
        let name = String::from_utf8_lossy(words.next()?);
        let name: String = name.chars().take(NAME_MAX).map(|one| if one.is_control() { '?' } else { one }).collect();
        while let Some((&old, _)) = self.pieces.range(start..end).next() {
            self.pieces.remove(&old);
        }
        self.pieces.insert(start, (end, name));
        Some(())
    }

    fn name(&self, address: u64) -> Option<&str> {
        let (_, (end, name)) = self.pieces.range(..=address).next_back()?;
        (address < *end).then_some(name)
    }

    /// The function at `address`, if a piece of code is there.
    pub(crate) fn frame(&self, address: u64) -> Option<Frame> {
        let name = self.name(address)?;
        let (function, place) = parts(name);
        Some(Frame { name: function.to_owned(), object: String::new(), place: place.map(str::to_owned) })
    }

    /// Whether Python wrote it.
    pub(crate) fn is_of_python(&self) -> bool {
        self.pieces.values().any(|(_, name)| name.starts_with(PYTHON))
    }

    /// Whether a Python function is at `address`.
    pub(crate) fn is_python(&self, address: u64) -> bool {
        self.name(address).is_some_and(|name| name.starts_with(PYTHON))
    }
}

/// The function and its place, where the name has one in a form that is known.
fn parts(name: &str) -> (&str, Option<&str>) {
    if let Some((function, file)) = name.strip_prefix(PYTHON).and_then(|rest| rest.split_once(':')) {
        return (function, Some(file));
    }
    let Some(rest) = SCRIPT.iter().find_map(|start| name.strip_prefix(start)) else { return (name, None) };
    let rest = rest.trim_start_matches(MARKS);
    match rest.rsplit_once(' ') {
        // `file:line:column`; the last is of no use in a profile.
        Some((function, place)) => {
            let place = place.rsplit_once(':').map_or(place, |(place, _)| place);
            (if function.is_empty() { "(no name)" } else { function }, Some(place))
        }
        None => (rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn frame(map: &str, address: u64) -> Option<(String, Option<String>)> {
        PerfMap::parse(map.as_bytes()).frame(address).map(|frame| (frame.name, frame.place))
    }

    #[test]
    fn names_of_interpreters_are_functions_and_places() {
        let map = "7f10 b py::Tree.grow:/home/a b/tree.py\n0x8000 10 JS:*walk file:///srv/x.js:7:12\n9000 20 Builtin:Call\n\
                   a000 8 LazyCompile:~ /srv/y.js:1:1\n";
        let known = |name: &str, place: Option<&str>| Some((name.to_owned(), place.map(str::to_owned)));
        assert_eq!(frame(map, 0x7f1a), known("Tree.grow", Some("/home/a b/tree.py")));
        assert_eq!(frame(map, 0x7f1b), None);
        assert_eq!(frame(map, 0x8000), known("walk", Some("file:///srv/x.js:7")));
        assert_eq!(frame(map, 0x901f), known("Builtin:Call", None));
        assert_eq!(frame(map, 0xa000), known("(no name)", Some("/srv/y.js:1")));
        assert!(PerfMap::parse(map.as_bytes()).is_python(0x7f10) && !PerfMap::parse(map.as_bytes()).is_python(0x8000));
    }

    #[test]
    fn the_newest_code_at_an_address_counts() {
        let map = "1000 100 old\n1040 10 older\n1020 80 new\n";
        for (address, name) in [(0x1000, "old"), (0x1045, "new"), (0x109f, "new")] {
            assert_eq!(frame(map, address).unwrap().0, name, "{address:x}");
        }
        assert_eq!(frame(map, 0x10a0), None);
    }

    #[test]
    fn lines_that_cannot_be_are_passed_over_and_names_are_bounded() {
        let long = format!("20 1 {}\n", "x".repeat(2 * NAME_MAX));
        let bad = format!("\nx\n10\n10 10\nffffffffffffffff 10 end\n30 0 none\n{long}\u{fffd} 1 z\n40 8 a\x1b[2Jb\n");
        let map = PerfMap::parse(bad.as_bytes());
        assert_eq!(map.pieces.len(), 2, "{map:?}");
        assert_eq!(map.name(0x20).unwrap().len(), NAME_MAX);
        assert_eq!(map.name(0x41), Some("a?[2Jb"));
        assert_eq!(PerfMap::parse(&[0xff; 64]).pieces.len(), 0);
    }

    #[test]
    fn files_of_others_links_and_pipes_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        fs::write(&file, "10 10 name\n").unwrap();
        symlink(&file, &link).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let user = crate::system::user();
        assert_eq!(PerfMap::read(&file, user).pieces.len(), 1);
        for (path, user) in [(&file, user + 1), (&link, user), (&pipe, user), (&folder.path().to_owned(), user)] {
            assert_eq!(PerfMap::read(path, user).pieces.len(), 0, "{}", path.display());
        }
        // A file that is older than the run, or another's, stays.
        remove(&file, user + 1, SystemTime::UNIX_EPOCH);
        remove(&file, user, SystemTime::now() + std::time::Duration::from_secs(60));
        remove(&link, user, SystemTime::UNIX_EPOCH);
        assert!(file.exists() && link.exists());
        remove(&file, user, SystemTime::UNIX_EPOCH);
        assert!(!file.exists());
    }
}
