//! Parts of made-up results.

use spandrel_lab::results::{Allocator, Form, Group, Kind, Machine, Made, Results, Role, Run, SCHEMA, Said, Workload};
use std::collections::BTreeMap;

/// Runs of each pair.
pub(crate) const RUNS: usize = 5;

/// One that ran.
pub(crate) fn allocator(name: &str, role: Role) -> Allocator {
    Allocator {
        name: name.to_owned(),
        role,
        group: Group::Default,
        origin: "made up".to_owned(),
        version: "1".to_owned(),
        sha256: "0123456789abcdef0123".to_owned(),
        environment: Vec::new(),
        absent: None,
    }
}

/// One that was run.
pub(crate) fn workload(name: &str, kind: Kind) -> Workload {
    Workload { name: name.to_owned(), summary: "works".to_owned(), field: "nobody".to_owned(), threads: 1, kind }
}

/// Runs whose times lie one per cent apart around `cpu`.
pub(crate) fn runs(workload: &str, allocator: &str, cpu: f64, peak_kib: f64, said: &Said) -> Vec<Run> {
    let run = |round: usize| Run {
        workload: workload.to_owned(),
        allocator: allocator.to_owned(),
        round,
        failure: None,
        cpu: cpu * (1.0 + 0.01 * (round as f64 - 2.0)),
        system: 0.0,
        wall: cpu,
        peak_kib,
        minor_faults: 100.0,
        major_faults: 0.0,
        switches: 1.0,
        said: Some(said.clone()),
    };
    (0..RUNS).map(run).collect()
}

/// Without allocators, workloads and runs.
pub(crate) fn empty() -> Results {
    Results {
        schema: SCHEMA,
        made: Made {
            date: "2026-01-01".to_owned(),
            commit: "abc".to_owned(),
            command: "run".to_owned(),
            seed: 1,
            form: Form::Part,
            runs: RUNS,
            budget: 60.0,
            scale: 1.0,
            seconds: 60.0,
            left_out: BTreeMap::from([("ghostscript".to_owned(), "not installed: gs".to_owned())]),
        },
        machine: Machine {
            cpu: "CPU".to_owned(),
            cores: 2,
            memory_mib: 1,
            kernel: "6".to_owned(),
            glibc: "2.36".to_owned(),
            system: "Debian".to_owned(),
            huge_pages: "madvise".to_owned(),
            load_before: 0.0,
        },
        allocators: Vec::new(),
        workloads: Vec::new(),
        runs: Vec::new(),
    }
}
