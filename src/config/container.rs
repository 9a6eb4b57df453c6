//! Limits of the container on memory and processors, by the process's control group (cgroup version 1 or 2) and those
//! above it, and by the mask of processors it may run on.
//!
//! Knows the kernel's files. Must not know what the answers are used for.

use core::ffi::CStr;

use super::parse;
use crate::sys::{call, file};

/// Version 1 says "no limit" by a number near the largest there is.
const UNLIMITED: usize = 1 << 60;
/// Groups nest, but not like this.
const DEPTH_MAX: usize = 32;
const PATH_MAX: usize = 512;

/// Where a hierarchy is mounted, and the files in a group that hold a limit: one number, two numbers in one file, or in
/// two files.
struct Hierarchy {
    /// One of the names between the first two colons of a line of `/proc/self/cgroup`.
    controller: &'static [u8],
    mount: &'static [u8],
    file: &'static [u8],
    second: Option<&'static [u8]>,
}

const MEMORY: [Hierarchy; 2] = [
    Hierarchy { controller: b"", mount: b"/sys/fs/cgroup", file: b"/memory.max", second: None },
    Hierarchy { controller: b"memory", mount: b"/sys/fs/cgroup/memory", file: b"/memory.limit_in_bytes", second: None },
];

/// Processor time per period.
const PROCESSORS: [Hierarchy; 2] = [
    Hierarchy { controller: b"", mount: b"/sys/fs/cgroup", file: b"/cpu.max", second: None },
    Hierarchy {
        controller: b"cpu",
        mount: b"/sys/fs/cgroup/cpu",
        file: b"/cpu.cfs_quota_us",
        second: Some(b"/cpu.cfs_period_us"),
    },
];

/// The least of the memory limits that hold for this process, in bytes; `None` if there are none or they cannot be
/// read.
pub(crate) fn memory_limit() -> Option<usize> {
    of_groups(&MEMORY, |limit, _| Some(limit))
}

/// How many processors the process can keep busy at once, at least 1.
pub(crate) fn processors() -> usize {
    let quota = of_groups(&PROCESSORS, |quota, period| Some(quota.div_ceil(period?.max(1))));
    call::processors().min(quota.unwrap_or(usize::MAX)).max(1)
}

fn of_groups(hierarchies: &[Hierarchy], value: impl Fn(usize, Option<usize>) -> Option<usize>) -> Option<usize> {
    let mut text = [0; 4096];
    let groups = file::read(c"/proc/self/cgroup", &mut text)?;
    let read = |path: &[u8], buffer: &mut [u8]| {
        let path = CStr::from_bytes_until_nul(path).ok()?;
        file::read(path, buffer).map(<[u8]>::len)
    };
    least(hierarchies, groups, read, value)
}

/// The least `value` of the numbers in the files of `groups`, as `/proc/self/cgroup` names them, and of those above.
/// `read` fills a buffer from the file at a path.
fn least(
    hierarchies: &[Hierarchy],
    groups: &[u8],
    read: impl Fn(&[u8], &mut [u8]) -> Option<usize>,
    value: impl Fn(usize, Option<usize>) -> Option<usize>,
) -> Option<usize> {
    let mut least = None;
    for line in groups.split(|&byte| byte == b'\n') {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let names =
            |hierarchy: &&Hierarchy| controllers.split(|&byte| byte == b',').any(|name| name == hierarchy.controller);
        for hierarchy in hierarchies.iter().filter(names) {
            for_each_above(group, |group| {
                let numbers = |file| numbers_in(&read, [hierarchy.mount, group, file]);
                let found = numbers(hierarchy.file).and_then(|(first, second)| {
                    let second = second.or_else(|| numbers(hierarchy.second?).map(|(period, _)| period));
                    value(first, second)
                });
                least = least.into_iter().chain(found).min();
            });
        }
    }
    least
}

/// The first number in the file whose path the parts make, if it is a limit, and the second if there is one.
fn numbers_in(read: impl Fn(&[u8], &mut [u8]) -> Option<usize>, parts: [&[u8]; 3]) -> Option<(usize, Option<usize>)> {
    let mut path = [0; PATH_MAX];
    let mut content = [0; 48];
    join(&mut path, parts)?;
    let len = read(&path, &mut content)?;
    let mut numbers = content.get(..len)?.split(u8::is_ascii_whitespace).map(parse::number);
    let first = numbers.next()?.filter(|&limit| limit < UNLIMITED)?;
    Some((first, numbers.next().flatten()))
}

/// Calls `see` with the group, and each one above it up to the root, which is empty.
fn for_each_above<'a>(mut group: &'a [u8], mut see: impl FnMut(&'a [u8])) {
    for _ in 0..DEPTH_MAX {
        group = group.strip_suffix(b"/").unwrap_or(group);
        see(group);
        let Some(slash) = group.iter().rposition(|&byte| byte == b'/') else { return };
        group = group.get(..slash).unwrap_or(&[]);
    }
}

/// Puts the parts one behind the other into `path`, which is zeroed; `None` if they and a zero do not fit.
fn join(path: &mut [u8; PATH_MAX], parts: [&[u8]; 3]) -> Option<()> {
    let mut at = 0;
    for part in parts {
        path.get_mut(at..at + part.len())?.copy_from_slice(part);
        at += part.len();
    }
    (at < PATH_MAX).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files<'a> = &'a [(&'a str, &'a str)];

    fn reader(files: Files<'_>) -> impl Fn(&[u8], &mut [u8]) -> Option<usize> {
        move |path, buffer| {
            let path = std::str::from_utf8(path).expect("text").trim_end_matches('\0');
            let content = files.iter().find(|(name, _)| *name == path)?.1;
            buffer[..content.len()].copy_from_slice(content.as_bytes());
            Some(content.len())
        }
    }

    fn limit(groups: &str, files: Files<'_>) -> Option<usize> {
        least(&MEMORY, groups.as_bytes(), reader(files), |limit, _| Some(limit))
    }

    fn quota(groups: &str, files: Files<'_>) -> Option<usize> {
        least(&PROCESSORS, groups.as_bytes(), reader(files), |quota, period| Some(quota.div_ceil(period?)))
    }

    #[test]
    fn processors_are_quota_by_period_rounded_up() {
        let second = [("/sys/fs/cgroup/a/cpu.max", "250000 100000\n"), ("/sys/fs/cgroup/cpu.max", "max 100000\n")];
        assert_eq!(quota("0::/a\n", &second), Some(3));
        assert_eq!(quota("0::/\n", &second), None);
        let first = [
            ("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(quota("3:cpuacct,cpu:/x\n", &first), Some(1));
        assert_eq!(quota("3:cpu:/x\n", &[("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n"), first[1]]), None);
        assert!((1..=4096).contains(&processors()));
    }

    #[test]
    fn version_2_takes_the_least_up_to_the_root() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "900\n"),
            ("/sys/fs/cgroup/a/memory.max", "500\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
        ];
        assert_eq!(limit("0::/a/b\n", &files), Some(500));
        assert_eq!(limit("0::/\n", &files), Some(900));
        assert_eq!(limit("0::/other\n", &files), Some(900));
        assert_eq!(limit("0::/a\n", &files[2..]), None);
    }

    #[test]
    fn version_1_has_a_hierarchy_of_its_own() {
        let files = [
            ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "4096\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limit("5:cpu:/x\n4:memory:/x\n0::/\n", &files), Some(4096));
        assert_eq!(limit("4:memory:/\n", &files), None);
    }

    #[test]
    fn nonsense_is_no_limit() {
        assert_eq!(limit("", &[]), None);
        assert_eq!(limit("::::\n0:\nx", &[]), None);
        assert_eq!(limit(&format!("0::/{}\n", "y".repeat(600)), &[("/sys/fs/cgroup/memory.max", "7")]), Some(7));
    }
}
