//! A process as `/proc` shows it: its mappings, its memory, what is resident.
//!
//! Memory is read by way of `/proc/PID/mem`, for which the kernel wants the right to trace the process, and the rights of
//! its user to the file. Where only the second is missing, a system call reads the memory; it finds the process by number
//! each time.

use super::limits::{FILE_MAX, READ_MAX};
use crate::perf_map::{self, PerfMap};
use crate::system;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A mapping of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) offset: usize,
    pub(crate) executable: bool,
    pub(crate) path: PathBuf,
    range: String,
}

/// See the module.
pub(crate) struct Process {
    id: u32,
    /// None where the file may not be opened.
    memory: Option<File>,
}

const WORD: usize = size_of::<usize>();

impl Process {
    /// Opens the memory of process `id`.
    ///
    /// # Errors
    /// Where there is none or it may not be read; the message says which and what would help.
    pub(crate) fn open(id: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/proc/{id}"));
        if !folder.is_dir() {
            bail!("there is no process {id}");
        }
        let memory = match File::open(folder.join("mem")) {
            Ok(memory) => Some(memory),
            Err(error) if error.kind() == ErrorKind::PermissionDenied && may_trace(id) => None,
            Err(error) => return Err(not_permitted(id, &error)),
        };
        Ok(Self { id, memory })
    }

    /// Its number.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Its number and name.
    pub(crate) fn title(&self) -> String {
        format!("{} ({})", self.id, self.name())
    }

    /// Its command line, without what a terminal would obey; the name where it has none.
    pub(crate) fn command(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.id)).unwrap_or_default();
        let words: Vec<_> = line.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
        let text = words.join(" ").trim_end().replace(char::is_control, "?");
        if text.is_empty() { self.name() } else { text }
    }

    /// Its settings of Spandrel's options, as it was started; none where they may not be read.
    pub(crate) fn settings(&self) -> Vec<String> {
        let block = fs::read(format!("/proc/{}/environ", self.id)).unwrap_or_default();
        let variables =
            block.split(|&byte| byte == 0).map(|bytes| String::from_utf8_lossy(bytes).replace(char::is_control, "?"));
        variables.filter(|variable| variable.starts_with("SPANDREL_")).collect()
    }

    /// The names that it wrote for code that it made, in its own view of files and of its number.
    pub(crate) fn perf_map(&self) -> PerfMap {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let own = numbers.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(self.id);
        let user = fs::metadata(format!("/proc/{}", self.id)).map_or(u32::MAX, |data| data.uid());
        PerfMap::read(&perf_map::path(Path::new(&format!("/proc/{}/root", self.id)), own), user)
    }

    /// Resident bytes by what they are of, the most first. `blocks` is where Spandrel's blocks lie, `reserved` all of
    /// its address space.
    ///
    /// # Errors
    /// Where they may not be read.
    pub(crate) fn resident_parts(&self, reserved: Range<usize>, blocks: usize) -> Result<Vec<(String, u64)>> {
        let path = format!("/proc/{}/smaps", self.id);
        let text = fs::read_to_string(&path).map_err(|error| not_permitted(self.id, &error))?;
        let program = fs::read_link(format!("/proc/{}/exe", self.id)).unwrap_or_default();
        let mut sums = BTreeMap::new();
        let mut part = "";
        for line in text.lines() {
            if let Some(kib) = line.strip_prefix("Rss:") {
                let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap_or(0);
                *sums.entry(part.to_owned()).or_insert(0) += kib << 10;
            } else if let Some((start, name)) = head(line) {
                part = match name {
                    "" if reserved.contains(&start) && start >= blocks => "Spandrel: blocks and free runs",
                    "" if reserved.contains(&start) => "Spandrel: page map, records, heaps",
                    "" => "other memory without a file, direct blocks among it",
                    "[heap]" => "the C library's own heap",
                    _ if name.starts_with("[stack") => "stack of the first thread",
                    _ if name.contains("libspandrel") => "Spandrel: the library",
                    _ if Path::new(name) == program => "the program's file",
                    _ if name.starts_with('[') => "the kernel's pages",
                    _ => "libraries and other files",
                };
            }
        }
        let mut parts: Vec<_> = sums.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Ok(parts)
    }

    /// Its name, without what a terminal would obey.
    pub(crate) fn name(&self) -> String {
        name(self.id)
    }

    /// Fills `bytes` with what is at `address`.
    ///
    /// # Errors
    /// Where that is not mapped, or the process has ended.
    pub(crate) fn read(&self, address: usize, bytes: &mut [u8]) -> Result<()> {
        let read = match &self.memory {
            Some(memory) => memory.read_exact_at(bytes, address as u64),
            None => match system::read_memory(self.id, address, bytes) {
                Ok(count) if count == bytes.len() => Ok(()),
                Ok(_) => Err(ErrorKind::InvalidInput.into()),
                Err(error) => Err(error),
            },
        };
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => anyhow!("process {} has ended", self.id),
            ErrorKind::PermissionDenied => not_permitted(self.id, &error),
            _ => anyhow!("process {}: cannot read at {address:#x}: {error}", self.id),
        })
    }

    /// Writes `bytes` to `address`.
    ///
    /// # Errors
    /// As for [`Process::read`].
    pub(crate) fn write(&self, address: usize, bytes: &[u8]) -> Result<()> {
        let path = format!("/proc/{}/mem", self.id);
        let memory = OpenOptions::new().write(true).open(path).map_err(|error| not_permitted(self.id, &error))?;
        memory
            .write_all_at(bytes, address as u64)
            .map_err(|error| anyhow!("process {}: cannot write at {address:#x}: {error}", self.id))
    }

    /// `len` bytes at `address`.
    ///
    /// # Errors
    /// As for [`Process::read`], and where that is more than is read at a time.
    pub(crate) fn bytes(&self, address: usize, len: usize) -> Result<Vec<u8>> {
        ensure!(len <= READ_MAX, "process {}: {len} bytes are no structure of Spandrel's", self.id);
        let mut bytes = vec![0; len];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// The word at `address`.
    ///
    /// # Errors
    /// As for [`Process::read`].
    pub(crate) fn word(&self, address: usize) -> Result<usize> {
        let mut bytes = [0; WORD];
        self.read(address, &mut bytes)?;
        Ok(usize::from_le_bytes(bytes))
    }

    /// The four bytes at `address` as a number.
    ///
    /// # Errors
    /// As for [`Process::read`].
    pub(crate) fn half(&self, address: usize) -> Result<usize> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    /// Its mappings of files, in order of address.
    ///
    /// # Errors
    /// Where they may not be read.
    pub(crate) fn mappings(&self) -> Result<Vec<Mapping>> {
        let path = format!("/proc/{}/maps", self.id);
        let text = fs::read_to_string(&path).map_err(|error| not_permitted(self.id, &error))?;
        Ok(text.lines().filter_map(mapping).collect())
    }

    /// The file that is mapped there, even where it was replaced or lies in another mount namespace.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn file(&self, mapping: &Mapping) -> Result<Vec<u8>> {
        let links = PathBuf::from(format!("/proc/{}/map_files", self.id)).join(&mapping.range);
        let root = PathBuf::from(format!("/proc/{}/root", self.id));
        let named = root.join(mapping.path.strip_prefix("/").unwrap_or(&mapping.path));
        object_bytes(&links).or_else(|_| object_bytes(&named))
    }
}

/// The name of process `id`.
pub(super) fn name(id: u32) -> String {
    let name = fs::read(format!("/proc/{id}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().replace(char::is_control, "?")
}

/// The bytes of a file that may be an object. Other files, which may be endless or never answer, are not read.
fn object_bytes(path: &Path) -> Result<Vec<u8>> {
    const NOT_WAITING: i32 = 0o4000;
    let is_object = |data: &fs::Metadata| data.is_file() && data.len() <= FILE_MAX;
    ensure!(is_object(&fs::metadata(path)?), "no object");
    let file = OpenOptions::new().read(true).custom_flags(NOT_WAITING).open(path)?;
    ensure!(is_object(&file.metadata()?), "no object");
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_permitted(id: u32, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::PermissionDenied => anyhow!(
            "not permitted to read the memory of process {id}: that takes the same user and \
             kernel.yama.ptrace_scope=0, or root (CAP_SYS_PTRACE)"
        ),
        _ => anyhow!("process {id}: {error}"),
    }
}

/// The start and the name of the mapping that a line of `smaps` begins; none for lines of figures.
fn head(line: &str) -> Option<(usize, &str)> {
    let mut words = line.splitn(6, ' ');
    let start = usize::from_str_radix(words.next()?.split_once('-')?.0, 16).ok()?;
    words.nth(3)?;
    let name = words.next().unwrap_or_default().trim();
    Some((start, name.strip_suffix(" (deleted)").unwrap_or(name)))
}

/// `start-end rights offset device inode path`; none for mappings of no file.
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let range = words.next()?;
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|digits| usize::from_str_radix(digits, 16));
    let (start, end, executable) = (start.ok()?, end.ok()?, words.next()?.contains('x'));
    let offset = usize::from_str_radix(words.next()?, 16).ok()?;
    let path = words.nth(2)?.trim_start();
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.starts_with('/').then(|| Mapping {
        start,
        end,
        offset,
        executable,
        path: PathBuf::from(path),
        range: range.to_owned(),
    })
}

/// The numbers of all processes.
pub(super) fn ids() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").context("/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// When process `id` started, in the kernel's ticks: with the number, what tells it from all others.
pub(super) fn started(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(") ")?;
    behind_name.split(' ').nth(19)?.parse().ok()
}

/// Whether there is a process `id`.
pub(crate) fn exists(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).is_dir()
}

/// Whether process `id` may have the library: a cheap question, to spare the reading of all objects of all processes.
pub(super) fn may_have(id: u32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default();
    let is_static = || Path::new(&format!("/proc/{id}/exe")).exists() && !maps.contains("/libc.so.6");
    maps.contains("spandrel") || maps.lines().any(is_reservation) || is_static()
}

/// Whether a line of `maps` is of so much address space without access that it can be Spandrel's: of a program that has
/// the library inside, under whatever name.
fn is_reservation(line: &str) -> bool {
    const LEAST: usize = 1 << 39;
    let bytes = |range: &str| {
        let (start, end) = range.split_once('-')?;
        usize::from_str_radix(end, 16).ok()?.checked_sub(usize::from_str_radix(start, 16).ok()?)
    };
    let mut words = line.split_whitespace();
    let (range, rights) = (words.next().unwrap_or_default(), words.next());
    rights == Some("---p") && words.nth(3).is_none() && bytes(range).is_some_and(|bytes| bytes >= LEAST)
}

/// The rest of the line of `/proc/ID/status` that begins so.
fn status(id: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

/// Bytes of process `id` that are resident.
pub(crate) fn resident(id: u32) -> Option<u64> {
    let kib: u64 = status(id, "VmRSS:")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// The user that process `id` belongs to.
pub(super) fn user(id: u32) -> Option<u32> {
    status(id, "Uid:")?.split_whitespace().next()?.parse().ok()
}

/// The control group of process `id`: that of version 2, or of version 1 that of memory; empty where there is none.
pub(super) fn cgroup(id: u32) -> String {
    let bytes = fs::read(format!("/proc/{id}/cgroup")).unwrap_or_default();
    group_of(&String::from_utf8_lossy(&bytes)).replace(char::is_control, "?")
}

/// A line for each hierarchy: `number:controllers:path`.
fn group_of(text: &str) -> String {
    let path_of = |wanted: fn(&str, &str) -> bool| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(number, controllers).then(|| path.to_owned())
        })
    };
    let memory = path_of(|_, controllers| controllers.split(',').any(|name| name == "memory"));
    memory.or_else(|| path_of(|number, controllers| number == "0" && controllers.is_empty())).unwrap_or_default()
}

/// The path of the program that process `id` runs; empty where it may not be known.
pub(super) fn program(id: u32) -> PathBuf {
    fs::read_link(format!("/proc/{id}/exe")).unwrap_or_default()
}

/// How long a process that started at this tick has been running.
pub(super) fn age(started: u64) -> Duration {
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up: f64 = text.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0);
    Duration::try_from_secs_f64(up - started as f64 / TICKS).unwrap_or_default()
}

/// Whether the kernel lets this command read the memory of process `id`. At address 0 nothing ever is.
fn may_trace(id: u32) -> bool {
    let refused = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    !system::read_memory(id, 0, &mut [0]).is_err_and(refused)
}

/// Whether the kernel refuses this command the memory of process `id`.
pub(crate) fn is_refused(id: u32) -> bool {
    exists(id) && !may_trace(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_files_are_read_and_others_passed_over() {
        let line = "7f00a000-7f00b000 r-xp 0000c000 08:01 123                        /usr/lib/a b.so (deleted)";
        let found = mapping(line).unwrap();
        assert_eq!(
            (found.start, found.end, found.offset, found.path.as_path(), found.executable),
            (0x7f00_a000, 0x7f00_b000, 0xc000, Path::new("/usr/lib/a b.so"), true)
        );
        assert_eq!(head(line), Some((0x7f00_a000, "/usr/lib/a b.so")));
        assert_eq!(head("7f00a000-7f00b000 rw-p 00000000 00:00 0 "), Some((0x7f00_a000, "")));
        assert_eq!(
            head("7f00a000-7f00b000 rw-p 00000000 00:00 0                          [heap]").unwrap().1,
            "[heap]"
        );
        assert_eq!((head("Rss:                  24 kB"), head("VmFlags: rd ex mr mw me")), (None, None));
        assert_eq!(mapping("7f00a000-7f00b000 rw-p 00000000 00:00 0 "), None);
        assert_eq!(mapping("7f00a000-7f00b000 rw-p 00000000 00:00 0                          [heap]"), None);
    }

    #[test]
    fn a_reservation_is_large_and_without_access_or_file() {
        let of = |range: &str, rights: &str, file: &str| is_reservation(&format!("{range} {rights} 0 00:00 0 {file}"));
        let (large, small) = ("7e0000000000-7f0000000000", "7e0000000000-7e0100000000");
        assert!(of(large, "---p", "") && !of(large, "rw-p", "") && !of(small, "---p", "") && !of(large, "---p", "/a"));
        assert!(!is_reservation("") && !is_reservation("x ---p"));
    }

    #[test]
    fn a_control_group_is_that_of_memory() {
        assert_eq!(group_of("0::/system.slice/a:b.service\n"), "/system.slice/a:b.service");
        let both = "12:cpuset:/x\n5:memory:/docker/ab\n1:name=systemd:/user\n0::/\n";
        assert_eq!(group_of(both), "/docker/ab");
        assert_eq!((group_of("junk"), group_of("")), (String::new(), String::new()));
        let own = std::process::id();
        assert_eq!(user(own), Some(crate::system::user()));
        assert!(age(started(own).unwrap()) < Duration::from_secs(24 * 3600) && !is_refused(own));
        assert_eq!(program(own), std::env::current_exe().unwrap());
    }

    #[test]
    fn the_own_memory_can_be_read_and_a_process_that_is_not_there_is_named() {
        let own = Process::open(std::process::id()).unwrap();
        let value = 0x1234_5678_9abc_usize;
        assert_eq!(own.word(std::ptr::from_ref(&value).addr()).unwrap(), value);
        assert!(own.word(8).is_err());
        let by_call = Process { id: own.id, memory: None };
        assert_eq!(by_call.word(std::ptr::from_ref(&value).addr()).unwrap(), value);
        assert!(by_call.word(8).is_err() && may_trace(own.id));
        assert!(own.mappings().unwrap().len() > 1 && resident(own.id()).unwrap() > 0);
        assert!(Process::open(u32::MAX).err().unwrap().to_string().contains("no process"));
    }
}
