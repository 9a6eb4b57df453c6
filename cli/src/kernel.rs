//! The settings of the kernel that matter to Spandrel.
//!
//! Must not know: processes beyond what `/proc` says of their limits.

use crate::checkup::{Finding, Verdict};
use crate::quantity::show;
use std::fs;
use std::path::Path;

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The kernel's settings that matter, for process `id` or this one.
pub(crate) fn settings(id: Option<u32>) -> Vec<Finding> {
    let of = id.map_or_else(|| "self".to_owned(), |id| id.to_string());
    let mut found = Vec::new();
    if let Some(text) = setting("/sys/kernel/mm/transparent_hugepage/enabled") {
        let chosen = text.split(['[', ']']).nth(1).unwrap_or(&text).to_owned();
        let finding = Finding::of(
            "huge pages",
            if chosen == "always" { Verdict::Note } else { Verdict::Fine },
            format!("transparent huge pages: {chosen}"),
        );
        found.push(if chosen == "always" {
            finding.advising(
                "resident memory of small programs grows in steps of 2 MiB; `madvise` leaves the choice to programs",
            )
        } else {
            finding
        });
    }
    match setting("/proc/sys/vm/overcommit_memory").as_deref() {
        Some("2") => found.push(
            Finding::of(
                "overcommit",
                Verdict::Warning,
                "vm.overcommit_memory=2: committed memory counts whether it is used or not",
            )
            .advising("what is only reserved does not count; raise vm.overcommit_ratio if calls fail"),
        ),
        Some(value) => found.push(Finding::of("overcommit", Verdict::Fine, format!("vm.overcommit_memory={value}"))),
        None => {}
    }
    if let Some(most) = setting("/proc/sys/vm/max_map_count").and_then(|text| text.parse::<usize>().ok()) {
        let used = fs::read_to_string(format!("/proc/{of}/maps")).map_or(0, |maps| maps.lines().count());
        let near = id.is_some() && used * 2 > most;
        let verdict = if near { Verdict::Warning } else { Verdict::Fine };
        let text = match id {
            Some(_) => format!("{used} of {most} mappings (vm.max_map_count)"),
            None => format!("vm.max_map_count={most}"),
        };
        let finding = Finding::of("mappings", verdict, text);
        found.push(if near {
            finding.advising("raise vm.max_map_count: each direct block and guard is a mapping")
        } else {
            finding
        });
    }
    found.extend(limits(&of));
    found.extend(container(&of));
    match setting("/proc/sys/kernel/yama/ptrace_scope").as_deref() {
        None | Some("0") => {}
        Some(value) => found.push(
            Finding::of("observing", Verdict::Note, format!("kernel.yama.ptrace_scope={value}"))
                .advising("top, stats, report and profile PID need root, or 0 there"),
        ),
    }
    found
}

/// Limits of the address space and of data, which what is reserved counts against.
fn limits(of: &str) -> Vec<Finding> {
    let text = fs::read_to_string(format!("/proc/{of}/limits")).unwrap_or_default();
    let limit = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let found =
        [("Max address space", "ulimit -v"), ("Max data size", "ulimit -d")].into_iter().filter_map(
            |(name, command)| {
                let finding = Finding::of("limit", Verdict::Note, format!("{command}: {}", show(limit(name)?)));
                Some(finding.advising(
                    "Spandrel reserves less then, down to SPANDREL_RESERVE=8M; libc serves what does not fit",
                ))
            },
        );
    found.collect()
}

/// The limit of the container, by cgroup v2.
fn container(of: &str) -> Option<Finding> {
    let text = fs::read_to_string(format!("/proc/{of}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let most = Path::new(path).ancestors().filter_map(|group| {
        let file = Path::new("/sys/fs/cgroup").join(group.strip_prefix("/").unwrap_or(group)).join("memory.max");
        fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    });
    let most = most.min()?;
    let finding = Finding::of("container", Verdict::Note, format!("memory.max={}", show(most)));
    Some(finding.advising("SPANDREL_SOFT_LIMIT=container has freed pages go back sooner near the limit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_says_something() {
        let found = settings(Some(std::process::id()));
        assert!(found.iter().any(|finding| finding.about == "mappings" && finding.text.contains(" of ")));
    }
}
