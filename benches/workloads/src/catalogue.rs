//! All workloads, in one table.
//!
//! Knows: names and sources. Must not know: what a workload does.

use crate::families::{freelist, larson, mixed, mstress, xmalloc};
use crate::harness::form::Form;
use crate::outcome::Outcome;
use serde::Serialize;

/// What a workload is measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// CPU time and peak memory.
    Time,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The published program it is modelled on, and who published it.
    pub(crate) field: &'static str,
    pub(crate) summary: &'static str,
    /// Threads that call the allocator at the same time.
    pub(crate) threads: usize,
    pub(crate) kind: Kind,
    #[serde(skip)]
    pub(crate) run: fn(&Form) -> Outcome,
}

/// In the order of the reports.
pub(crate) const ALL: &[Workload] = &[
    Workload {
        name: "random-mixed-256",
        field: "random_mixed, a common microbenchmark",
        summary: "replaces blocks of 16 to 1040 bytes in random ones of 256 slots",
        threads: 1,
        kind: Kind::Time,
        run: |form| mixed::run(form, 256),
    },
    Workload {
        name: "random-mixed-1024",
        field: "random_mixed, a common microbenchmark",
        summary: "replaces blocks of 16 to 1040 bytes in random ones of 1024 slots",
        threads: 1,
        kind: Kind::Time,
        run: |form| mixed::run(form, 1024),
    },
    Workload {
        name: "random-mixed-8192",
        field: "random_mixed, a common microbenchmark",
        summary: "replaces blocks of 16 to 1040 bytes in random ones of 8192 slots",
        threads: 1,
        kind: Kind::Time,
        run: |form| mixed::run(form, 8192),
    },
    Workload {
        name: "freelist-lifo",
        field: "free order tests, after the bulk tests of the snmalloc and Hoard papers",
        summary: "allocates 100000 blocks of 64 bytes, frees the last one first",
        threads: 1,
        kind: Kind::Time,
        run: |form| freelist::run(form, freelist::Order::Lifo),
    },
    Workload {
        name: "freelist-fifo",
        field: "free order tests, after the bulk tests of the snmalloc and Hoard papers",
        summary: "allocates 100000 blocks of 64 bytes, frees the first one first",
        threads: 1,
        kind: Kind::Time,
        run: |form| freelist::run(form, freelist::Order::Fifo),
    },
    Workload {
        name: "freelist-random",
        field: "free order tests, after the bulk tests of the snmalloc and Hoard papers",
        summary: "allocates 100000 blocks of 64 bytes, frees them in random order",
        threads: 1,
        kind: Kind::Time,
        run: |form| freelist::run(form, freelist::Order::Random),
    },
    Workload {
        name: "larson",
        field: "larson (8 1000 5000 100 4141), Larson and Krishnan 1998, as in mimalloc-bench",
        summary: "a server's threads replace random ones of 5000 blocks, hand them to a successor and end",
        threads: larson::CHAINS,
        kind: Kind::Time,
        run: larson::run,
    },
    Workload {
        name: "xmalloc",
        field: "xmalloc-test (-s 64), Lever and Boreham 2000, as in mimalloc-bench",
        summary: "producers allocate batches of 4096 blocks of 64 bytes, consumers free them",
        threads: 2 * xmalloc::PAIRS,
        kind: Kind::Time,
        run: xmalloc::run,
    },
    Workload {
        name: "mstress",
        field: "mstress (4 50 75), Leijen, mimalloc-bench",
        summary: "generations of threads with retained, short-lived and exchanged objects, a few of them huge",
        threads: mstress::THREADS,
        kind: Kind::Time,
        run: mstress::run,
    },
];

/// The names, as one would list them in a sentence.
pub(crate) fn names() -> String {
    ALL.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_plain() {
        let names: HashSet<&str> = ALL.iter().map(|workload| workload.name).collect();
        assert_eq!(names.len(), ALL.len());
        let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(names.into_iter().all(plain));
    }
}
