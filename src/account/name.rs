//! The names that accounts have: those of threads, and of their control groups. Knows where the kernel has them; must
//! not know what is billed.

use core::ffi::CStr;

use crate::config::Account;
use crate::sys::output::Path;
use crate::sys::{call, file};

/// Most bytes of a name. The kernel keeps 15 of a thread's; of the path of a group the last components are kept.
pub(super) const NAME_MAX: usize = 63;
/// Bytes of a file about groups: some tens of lines with version 1 of groups, one with version 2.
const GROUPS_BYTES: usize = 4096;

pub(super) struct Name {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Name {
    /// Of the thread that calls.
    pub(super) fn of_caller(account: Account) -> Option<Self> {
        if account == Account::CgroupThread {
            return Self::of_groups(c"/proc/thread-self/cgroup");
        }
        let name = call::thread_name()?;
        Self::of(name.split(|&byte| byte == 0).next()?)
    }

    /// Of the thread that the kernel knows by the number `id`.
    pub(super) fn of_thread(account: Account, id: u32) -> Option<Self> {
        let mut path = Path::new();
        if account == Account::CgroupThread {
            return Self::of_groups(path.fill_in(b"/proc/self/task/%n/cgroup", id.into()).finish()?);
        }
        let mut buffer = [0; NAME_MAX];
        let text = file::read(path.fill_in(b"/proc/self/task/%n/comm", id.into()).finish()?, &mut buffer)?;
        Self::of(text.strip_suffix(b"\n").unwrap_or(text))
    }

    /// Of the groups that the file at `path` names.
    fn of_groups(path: &CStr) -> Option<Self> {
        let mut buffer = [0; GROUPS_BYTES];
        Self::of(last_components(group(file::read(path, &mut buffer)?)))
    }

    /// `None` for a name without letters. Control characters would end a line of a report.
    fn of(name: &[u8]) -> Option<Self> {
        let mut kept = Self { bytes: [0; NAME_MAX], len: name.len().min(NAME_MAX) };
        for (place, &byte) in kept.bytes.iter_mut().zip(name) {
            *place = if byte.is_ascii_control() { b'?' } else { byte };
        }
        (kept.len > 0).then_some(kept)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// The path of the thread's group, by lines `NUMBER:CONTROLLERS:PATH`: that of version 2; where this is the root or
/// missing, that of the `cpu` controller of version 1.
fn group(text: &[u8]) -> &[u8] {
    const ROOT: &[u8] = b"/";
    let path_of = |wanted: &[u8]| {
        text.split(|&byte| byte == b'\n').find_map(|line| {
            let mut parts = line.splitn(3, |&byte| byte == b':');
            let (_number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            controllers.split(|&byte| byte == b',').any(|controller| controller == wanted).then_some(path)
        })
    };
    let unified = path_of(b"").filter(|&path| path != ROOT);
    unified.or_else(|| path_of(b"cpu")).unwrap_or(ROOT)
}

/// The path, or as many of its last components as a name has room for.
fn last_components(path: &[u8]) -> &[u8] {
    let Some(tail) = path.len().checked_sub(NAME_MAX).and_then(|start| path.get(start..)) else { return path };
    let slash = tail.iter().position(|&byte| byte == b'/');
    slash.and_then(|slash| tail.get(slash..)).unwrap_or(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_that_of_version_2_or_of_the_processors() {
        let of = |text: &'static str| core::str::from_utf8(group(text.as_bytes())).unwrap();
        assert_eq!(of("0::/server.slice/workers\n"), "/server.slice/workers");
        assert_eq!(of("4:memory:/a\n2:cpu,cpuacct:/b\n0::/c:d\n"), "/c:d");
        assert_eq!(of("4:memory:/a\n2:cpu,cpuacct:/b\n0::/\n"), "/b");
        assert_eq!(of("4:memory:/a\n3:cpuset:/x\n1:cpu:/b\n"), "/b");
        assert_eq!(of("4:memory:/a\n0::/\n"), "/");
        assert_eq!(of(""), "/");
        assert_eq!(of("nonsense\n0:\n"), "/");
    }

    #[test]
    fn of_a_long_path_the_end_is_kept() {
        let of = |path: &str| String::from_utf8(last_components(path.as_bytes()).to_vec()).unwrap();
        assert_eq!(of("/a/b"), "/a/b");
        let fits = format!("/{}", "x".repeat(NAME_MAX - 1));
        assert_eq!(of(&fits), fits);
        assert_eq!(of(&format!("/{}/{}/leaf", "a".repeat(40), "b".repeat(40))), format!("/{}/leaf", "b".repeat(40)));
        assert_eq!(of(&format!("/a/{}", "b".repeat(80))), "b".repeat(NAME_MAX));
    }

    #[test]
    fn a_thread_has_the_name_that_it_was_given() {
        let asked = std::thread::Builder::new().name("named\u{7}".to_owned()).spawn(|| {
            let own = Name::of_caller(Account::ThreadName).unwrap();
            let other = Name::of_thread(Account::ThreadName, call::thread_id()).unwrap();
            (own.bytes().to_vec(), other.bytes().to_vec())
        });
        let (own, other) = asked.unwrap().join().unwrap();
        assert_eq!((own.as_slice(), other.as_slice()), (&b"named?"[..], &b"named?"[..]));
        assert!(Name::of_thread(Account::ThreadName, u32::MAX).is_none());
        let groups =
            [Name::of_caller(Account::CgroupThread), Name::of_thread(Account::CgroupThread, call::thread_id())];
        let [own, other] = groups.map(|name| name.map(|name| name.bytes().to_vec()));
        assert_eq!(own, other);
    }
}
