//! Describes the machine and the sources, so that figures can be told apart later.
//!
//! Knows: where Linux says such things. Must not know: the figures.

use crate::results::Machine;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

const KIB_PER_MIB: u64 = 1024;
const UNKNOWN: &str = "unknown";

/// This machine, now.
#[must_use]
pub fn describe() -> Machine {
    let processors = read("/proc/cpuinfo");
    let memory = read("/proc/meminfo");
    Machine {
        cpu: value(&processors, "model name", ':'),
        cores: available_parallelism().map_or(1, usize::from),
        memory_mib: value(&memory, "MemTotal", ':').split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0u64)
            / KIB_PER_MIB,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        glibc: first_line("ldd", &["--version"]),
        system: value(&read("/etc/os-release"), "PRETTY_NAME", '=').trim_matches('"').to_owned(),
        huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled").trim().to_owned(),
        load_before: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
    }
}

/// The commit of the sources, with `+` if tracked files differ from it.
#[must_use]
pub fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return UNKNOWN.to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|status| !status.is_empty());
    format!("{commit}{}", if changed { "+" } else { "" })
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn value(text: &str, key: &str, separator: char) -> String {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(name, _)| name.trim() == key)
        .map_or_else(|| UNKNOWN.to_owned(), |(_, value)| value.trim().to_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or(UNKNOWN).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_key() {
        assert_eq!(value("a : 1\nmodel name\t: X 5\n", "model name", ':'), "X 5");
        assert_eq!(value("a=1", "b", '='), UNKNOWN);
    }

    #[test]
    fn this_machine_has_a_kernel_and_memory() {
        let machine = describe();
        assert!(!machine.kernel.is_empty());
        assert!(machine.memory_mib > 0);
    }
}
