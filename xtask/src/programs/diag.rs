//! Reads the report that `SPANDREL_DIAG=1` prints at exit, and knows the lines of other reports.
//!
//! Knows: the grammar of the report. Must not know: who printed it; a program of several processes prints several,
//! which add up.

use std::collections::BTreeMap;

const PREFIX: &str = "spandrel: diag: ";
/// Modes report at exit, whatever they found.
const COUNTING: &str = "spandrel: counting: ";
const TRACKED: &str = "spandrel: tracked: ";

/// How many calls were served where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// Allocation calls per lane.
    pub lanes: BTreeMap<String, u64>,
    /// Calls that went to libc, per reason.
    pub reasons: BTreeMap<String, u64>,
}

impl Served {
    /// Calls served by libc.
    #[must_use]
    pub fn libc(&self) -> u64 {
        self.lanes.get("libc").copied().unwrap_or(0)
    }

    /// Calls served by the preloaded library itself.
    #[must_use]
    pub fn own(&self) -> u64 {
        self.lanes.values().sum::<u64>() - self.libc()
    }

    /// Share of calls served by the library, in percent.
    #[must_use]
    pub fn share(&self) -> f64 {
        let all = self.own() + self.libc();
        if all == 0 { 0.0 } else { 100.0 * self.own() as f64 / all as f64 }
    }
}

/// True for a line of a report: that of diagnostics, or one that a mode prints at exit.
#[must_use]
pub fn is_report(line: &str) -> bool {
    [PREFIX, COUNTING, TRACKED].iter().any(|prefix| line.starts_with(prefix))
}

/// The sum of all reports in a program's standard error, or none if it printed none.
#[must_use]
pub fn served(stderr: &str) -> Option<Served> {
    let mut served = Served::default();
    for line in stderr.lines() {
        let Some(at) = line.find(PREFIX) else { continue };
        let fields: BTreeMap<&str, &str> =
            line[at + PREFIX.len()..].split_whitespace().filter_map(|field| field.split_once('=')).collect();
        let calls = fields.get("calls").and_then(|calls| calls.parse().ok()).unwrap_or(0);
        if line[at + PREFIX.len()..].starts_with("free ") {
            continue;
        }
        for (key, counts) in [("lane", &mut served.lanes), ("reason", &mut served.reasons)] {
            if let Some(name) = fields.get(key) {
                *counts.entry((*name).to_owned()).or_insert(0) += calls;
            }
        }
    }
    (!served.lanes.is_empty()).then_some(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "hello\n\
        spandrel: diag: lane=small calls=90 bytes=900\n\
        spandrel: diag: lane=large calls=5 bytes=500000\n\
        spandrel: diag: lane=direct calls=0 bytes=0\n\
        spandrel: diag: lane=libc calls=5 bytes=10\n\
        spandrel: diag: reason=init_wait calls=5\n\
        spandrel: diag: free lane=small calls=80\n\
        spandrel: diag: range=256-1040 calls=3 spandrel=3 libc=0 proved=yes\n";

    #[test]
    fn lanes_and_reasons_are_read_and_frees_left_out() {
        let served = served(REPORT).unwrap();
        assert_eq!((served.own(), served.libc()), (95, 5));
        assert_eq!(served.reasons["init_wait"], 5);
        assert!((served.share() - 95.0).abs() < 1e-9);
    }

    #[test]
    fn reports_of_several_processes_add_up() {
        let both = served(&format!("{REPORT}{REPORT}")).unwrap();
        assert_eq!((both.own(), both.libc()), (190, 10));
    }

    #[test]
    fn a_report_of_a_mode_is_no_complaint_and_a_code_is_one() {
        assert!(is_report("spandrel: counting: outstanding blocks 508 bytes 70552"));
        assert!(is_report("spandrel: tracked: 0 blocks of 0 bytes are live at exit, from 0 call stacks"));
        assert!(!is_report("spandrel: ALLOCATOR_DOUBLE_FREE: free(0x10): the block is free already"));
    }

    #[test]
    fn no_report_is_no_report() {
        assert_eq!(served("hello\n"), None);
    }
}
