//! All workloads, in one table.
//!
//! Knows: names and sources. Must not know: what a workload does.

use crate::families::{
    aligned, burst, cache, containers, freelist, glibc, growing, growth, idle, large, larson, latency, many, mixed,
    mstress, pair, rptest, soak, tree, xmalloc,
};
use crate::harness::form::Form;
use crate::outcome::Outcome;
use serde::Serialize;

/// The figure for which a workload is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// CPU time and peak memory.
    Time,
    /// Memory that is left after a pause.
    Idle,
    /// Memory over time.
    Soak,
    /// Single calls.
    Latency,
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
    pub(crate) run: Run,
}

type Run = fn(&Form) -> Outcome;

impl Workload {
    const fn new(name: &'static str, field: &'static str, threads: usize, run: Run, summary: &'static str) -> Self {
        Self { name, field, summary, threads, kind: Kind::Time, run }
    }

    const fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

const MIXED: &str = "random_mixed, a common microbenchmark";
const FREELIST: &str = "free order tests, a common microbenchmark";
const PAIR: &str = "malloc and free in a tight loop, a common microbenchmark";
const LARSON: &str = "larson (8 1000 5000 100 4141), Larson and Krishnan 1998, as in mimalloc-bench";
const SH6: &str = "sh6bench, MicroQuill, as in mimalloc-bench";
const SH8: &str = "sh8bench, MicroQuill, as in mimalloc-bench";
const XMALLOC: &str = "xmalloc-test (-s 64, a queue of 16), Lever and Boreham 2000, as in mimalloc-bench";
const MSTRESS: &str = "mstress (4 50 75), Leijen, as in mimalloc-bench";
const RPTEST: &str = "rptest (4 0 1 2 500 1000 100 8 16000), Jansson's rpmalloc-benchmark, as in mimalloc-bench";
const ALLOC_TEST: &str = "alloc-test (1 and 4 threads), OLogN Technologies, as in mimalloc-bench";
const GLIBC_SIMPLE: &str = "bench-malloc-simple (16), the GNU C library, as in mimalloc-bench";
const GLIBC_THREAD: &str = "bench-malloc-thread, the GNU C library, as in mimalloc-bench";
const SCRATCH: &str = "cache-scratch (2 1000 1 2000000), Berger's Hoard, as in mimalloc-bench";
const THRASH: &str = "cache-thrash (2 1000 1 2000000), Berger's Hoard, as in mimalloc-bench";
const LARGE: &str = "malloc-large, Stolyarov, as in mimalloc-bench";
const OURS: &str = "none; written for this lab";

/// In the order of the reports.
pub(crate) const ALL: &[Workload] = &[
    Workload::new(
        "random-mixed-256",
        MIXED,
        1,
        |form| mixed::run(form, 256),
        "16 to 1040 bytes in random ones of 256 slots",
    ),
    Workload::new(
        "random-mixed-1024",
        MIXED,
        1,
        |form| mixed::run(form, 1024),
        "16 to 1040 bytes in random ones of 1024 slots",
    ),
    Workload::new(
        "random-mixed-8192",
        MIXED,
        1,
        |form| mixed::run(form, 8192),
        "16 to 1040 bytes in random ones of 8192 slots",
    ),
    Workload::new(
        "freelist-lifo",
        FREELIST,
        1,
        |form| freelist::run(form, freelist::Order::Lifo),
        "100000 blocks of 64 bytes, the last one freed first",
    ),
    Workload::new(
        "freelist-fifo",
        FREELIST,
        1,
        |form| freelist::run(form, freelist::Order::Fifo),
        "100000 blocks of 64 bytes, the first one freed first",
    ),
    Workload::new(
        "freelist-random",
        FREELIST,
        1,
        |form| freelist::run(form, freelist::Order::Random),
        "100000 blocks of 64 bytes, freed in random order",
    ),
    Workload::new("pair-16", PAIR, 1, |form| pair::run(form, 16, 110_000_000), "16 bytes, freed at once"),
    Workload::new("pair-256", PAIR, 1, |form| pair::run(form, 256, 110_000_000), "256 bytes, freed at once"),
    Workload::new("pair-8k", PAIR, 1, |form| pair::run(form, 8 << 10, 60_000_000), "8 KiB, freed at once"),
    Workload::new("pair-32k", PAIR, 1, |form| pair::run(form, 32 << 10, 60_000_000), "32 KiB, freed at once"),
    Workload::new(
        "larson",
        LARSON,
        larson::CHAINS,
        larson::run,
        "a server's threads replace random ones of 5000 blocks, hand them to a successor and end",
    ),
    Workload::new(
        "sh6bench",
        SH6,
        burst::THREADS,
        |form| burst::run(form, 450, false),
        "bursts of rising sizes; a fifth stays, the rest is freed from both ends",
    ),
    Workload::new(
        "sh8bench",
        SH8,
        burst::THREADS,
        |form| burst::run(form, 450, true),
        "as sh6bench, with every fourth block swapped with another thread",
    ),
    Workload::new(
        "xmalloc",
        XMALLOC,
        2 * xmalloc::PAIRS,
        xmalloc::run,
        "producers allocate batches of 4096 blocks of 64 bytes, consumers free them",
    ),
    Workload::new(
        "mstress",
        MSTRESS,
        mstress::THREADS,
        mstress::run,
        "generations of threads with retained, short-lived and exchanged objects, a few of them huge",
    ),
    Workload::new(
        "rptest",
        RPTEST,
        rptest::THREADS,
        rptest::run,
        "8 to 16000 bytes, large ones rare; batches left to other threads to free",
    ),
    Workload::new(
        "alloc-test-1",
        ALLOC_TEST,
        1,
        |form| growing::run(form, 1, 24_000_000),
        "a malloced table of 2^18 places (4 MiB, not counted), 5 to 1024 bytes, all written and read",
    ),
    Workload::new(
        "alloc-test-4",
        ALLOC_TEST,
        4,
        |form| growing::run(form, 4, 24_000_000),
        "four malloced tables of 2^16 places (4 MiB, not counted), 5 to 1024 bytes, all written and read",
    ),
    Workload::new(
        "glibc-simple",
        GLIBC_SIMPLE,
        1,
        glibc::simple,
        "16 bytes, 25 to 1600 at a time, freed from both ends",
    ),
    Workload::new(
        "glibc-thread",
        GLIBC_THREAD,
        glibc::THREADS,
        glibc::thread,
        "4 bytes to 32 KiB in 1024 slots a thread, inverse square distribution, all written",
    ),
    Workload::new(
        "cache-scratch",
        SCRATCH,
        cache::THREADS,
        |form| cache::run(form, true),
        "threads free a block they were handed, then write to blocks of 1 byte: passive false sharing",
    ),
    Workload::new(
        "cache-thrash",
        THRASH,
        cache::THREADS,
        |form| cache::run(form, false),
        "threads write to blocks of 1 byte: active false sharing",
    ),
    Workload::new(
        "malloc-large",
        LARGE,
        1,
        large::run,
        "twenty buffers of 5 to 25 MiB, replaced at random, all written",
    ),
    Workload::new(
        "realloc-growth",
        OURS,
        1,
        growth::run,
        "64 buffers that double, grow by a half, or by steps, to 1 MiB",
    ),
    Workload::new("aligned", OURS, 1, aligned::run, "posix_memalign, 16 to 4096 bytes of alignment, mixed with malloc"),
    Workload::new("many-threads-2", OURS, 2, |form| many::run(form, 2), "2 threads with 16 blocks each, taking turns"),
    Workload::new(
        "many-threads-64",
        OURS,
        64,
        |form| many::run(form, 64),
        "64 threads with 16 blocks each, taking turns",
    ),
    Workload::new(
        "many-threads-512",
        OURS,
        512,
        |form| many::run(form, 512),
        "512 threads with 16 blocks each, taking turns",
    ),
    Workload::new("tree", OURS, 1, tree::run, "a binary tree of 64 MiB, built once and walked 100 times"),
    Workload::new("containers", OURS, 1, containers::run, "Rust's maps, queues, vectors and strings"),
    Workload::new(
        "idle-after-peak",
        OURS,
        idle::THREADS + 1,
        |form| idle::run(form, idle::Rest::Oldest),
        "200 MiB, freed at random but for the oldest 4 MiB; then one malloc and free each 100 ms for 2 s",
    )
    .of(Kind::Idle),
    Workload::new(
        "idle-after-peak-silent",
        OURS,
        idle::THREADS + 1,
        |form| idle::run(form, idle::Rest::OldestSilent),
        "200 MiB, freed at random but for the oldest 4 MiB; then no call for 2 s",
    )
    .of(Kind::Idle),
    Workload::new(
        "idle-after-peak-scattered",
        OURS,
        idle::THREADS + 1,
        |form| idle::run(form, idle::Rest::Scattered),
        "200 MiB, freed at random but for 4 MiB anywhere; then one malloc and free each 100 ms for 2 s",
    )
    .of(Kind::Idle),
    Workload::new("soak", OURS, soak::THREADS, soak::run, "phases of different sizes and live sets, 4 s")
        .of(Kind::Soak),
    Workload::new("latency-alone", OURS, 1, latency::run_alone, "single calls of one thread, 16 to 1040 bytes")
        .of(Kind::Latency),
    Workload::new(
        "latency",
        OURS,
        latency::THREADS,
        latency::run,
        "single calls, 16 to 1040 bytes, an eighth freed remotely",
    )
    .of(Kind::Latency),
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
        let plain =
            |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(names.into_iter().all(plain));
    }
}
