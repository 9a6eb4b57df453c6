//! The abilities of this machine, and settings of its kernel that a check needs.
//!
//! # Invariants
//! - A setting is as it was before as soon as its guard goes.

use super::check::Result;
use std::fs;

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const HUGETLB: &str = "/sys/kernel/mm/hugepages";
/// Explicit huge pages of 2 MiB.
pub(super) const TWO_MIB: &str = "hugepages-2048kB";
/// Explicit huge pages of 1 GiB.
pub(super) const ONE_GIB: &str = "hugepages-1048576kB";

/// The kernel's setting of transparent huge pages: the word in brackets.
pub(super) fn thp() -> Option<String> {
    let text = fs::read_to_string(THP).ok()?;
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// Why the kernel gives no huge pages by advice here.
pub(super) fn thp_obstacle() -> Option<String> {
    match thp().as_deref() {
        Some("madvise" | "always") => None,
        setting => Some(format!("transparent huge pages are set to {}", setting.unwrap_or("nothing"))),
    }
}

/// Why this machine cannot show that the allocator does not ask for huge pages.
pub(super) fn unasked_obstacle() -> Option<String> {
    (thp().as_deref() == Some("always")).then(|| "transparent huge pages are set to always".to_owned())
}

/// Why the kernel does not tell where pages are placed.
pub(super) fn numa_obstacle() -> Option<String> {
    fs::metadata("/proc/self/numa_maps").is_err().then(|| "the kernel has no /proc/self/numa_maps".to_owned())
}

/// A setting of the kernel's, put back when this goes.
#[derive(Debug)]
pub(super) struct Setting {
    path: String,
    before: String,
}

impl Setting {
    fn set(path: String, value: &str) -> Result<Self> {
        let before = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        fs::write(&path, value).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, self.before.trim()) {
            eprintln!("{} could not be put back to {}: {error}", self.path, self.before.trim());
        }
    }
}

/// Has the kernel set `count` explicit huge pages aside.
///
/// # Errors
/// When it does not, and why.
pub(super) fn explicit_pages(kind: &str, count: u64) -> Result<Setting> {
    let path = format!("{HUGETLB}/{kind}/nr_hugepages");
    let setting = Setting::set(path.clone(), &count.to_string())?;
    let got = fs::read_to_string(&path).unwrap_or_default();
    if got.trim() == count.to_string() {
        Ok(setting)
    } else {
        Err(format!("the kernel sets {} of {count} {kind} aside", got.trim()))
    }
}
