//! NUMA: the policies reach the kernel, a refused one gets one line, and memory kept by node works on a machine that
//! the library takes for one with two. `make numa-check` shows where pages really lie on two nodes.

use std::fs;
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::programs::{Program, number};
use harness::run::{self, Outcome};
use harness::suite::{case_if, main as run_cases};
use harness::{paths, sandbox};

const SERVER: (&str, &str) = ("SPANDREL_PROFILE", "hosted-server");
const LOCAL: (&str, &str) = ("SPANDREL_NUMA", "local");
const OTHERS: [&str; 5] = ["hosted-small", "freestanding", "realtime", "compiler-internal", "test-fixture"];
const CODE: &str = "ALLOCATOR_NUMA_POLICY";

/// The reason why the kernel cannot show where pages are placed.
fn obstacle() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/numa_maps");
    maps.err().map(|error| format!("/proc/self/numa_maps: {error}"))
}

/// The kernel's policy of the memory in use, for blocks of the reservation and for a direct block.
fn policies(environment: &[(&str, &str)]) -> Result<Outcome, String> {
    Program { file: "placement.c", arguments: &[], environment, timeout: 60 }.run()
}

fn are(outcome: &Outcome, policy: &str) -> Result<(), String> {
    let told: Vec<&str> = outcome.stdout.lines().collect();
    let good = told.len() == 2 && told.iter().all(|line| line.starts_with(policy));
    if good { Ok(()) } else { Err(format!("should be {policy}\n{outcome}")) }
}

fn policies_reach_the_kernel() -> Result<(), String> {
    let policies_of =
        [("off", "default"), ("first-touch", "local"), ("interleave", "interleave:"), ("bind:0", "bind:0")];
    for (numa, policy) in policies_of {
        let outcome = policies(&[SERVER, ("SPANDREL_NUMA", numa)])?;
        outcome.clean()?;
        are(&outcome, policy)?;
    }
    Ok(())
}

/// On one node memory by node means first touch, and on several it prefers one; neither prints a line.
fn local_says_nothing() -> Result<(), String> {
    let outcome = policies(&[SERVER, LOCAL])?;
    outcome.clean()?;
    are(&outcome, "local").or_else(|_| {
        let first = outcome.stdout.lines().next().unwrap_or_default();
        if first.starts_with("prefer:") { Ok(()) } else { Err(format!("neither local nor preferred\n{outcome}")) }
    })
}

fn other_profiles_and_unknown_nodes_are_refused() -> Result<(), String> {
    for profile in OTHERS {
        let environment = [("SPANDREL_PROFILE", profile), ("SPANDREL_NUMA", "interleave"), ("SPANDREL_LEAKS", "0")];
        policies(&environment)?.one_line(CODE, "SPANDREL_NUMA=interleave")?;
    }
    let outcome = policies(&[SERVER, ("SPANDREL_NUMA", "bind:900")])?;
    outcome.one_line(CODE, "no such node")?;
    are(&outcome, "default")
}

/// A sandbox that knows no NUMA costs one line.
fn a_kernel_that_refuses_is_reported_once() -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("placement.c")), Variant::Preload)?;
    for (call, what) in [(libc::SYS_mbind, "the kernel refuses"), (libc::SYS_get_mempolicy, "no such node")] {
        for numa in ["local", "interleave", "bind:0"] {
            let mut command = run::preloaded(&program)?;
            sandbox::refuse(command.envs([SERVER, ("SPANDREL_NUMA", numa)]), call, libc::ENOSYS);
            let outcome = run::run(&mut command, 60)?;
            outcome.one_line(CODE, what)?;
            are(&outcome, "default")?;
        }
    }
    Ok(())
}

/// A program on a machine that the library takes for one with two nodes, whose threads move every now and then.
fn with_two_nodes(file: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Outcome, String> {
    moving(50, file, arguments, environment)
}

/// As [`with_two_nodes`]; threads move after every `stay` questions of the library for their node, or never if that is
/// 0.
fn moving(stay: u32, file: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Outcome, String> {
    let supervisor = build::program(&Source::new(paths::program_source("two_nodes.c")), Variant::Glibc)?;
    let program = build::program(&Source::new(paths::program_source(file)), Variant::Preload)?;
    let mut command = run::command(supervisor);
    command.arg(stay.to_string()).arg(program).args(arguments).env("SUPERVISED_PRELOAD", paths::shared_library()?);
    run::run(command.envs([SERVER, LOCAL]).envs(environment.iter().copied()), 120)
}

/// The reason why no supervisor can answer for the kernel here.
fn supervisor_obstacle() -> Option<String> {
    match with_two_nodes("workload.c", &["1", "1"], &[]) {
        Ok(outcome) if outcome.end == End::Exit(77) => Some(outcome.stdout.trim().to_owned()),
        _ => None,
    }
}

/// Threads on both nodes that move, start, end, free each other's blocks and fork.
fn programs_run_on_two_nodes() -> Result<(), String> {
    for (file, arguments) in [
        ("workload.c", ["8", "100"].as_slice()),
        ("thread_storm.c", &["relay", "60"]),
        ("thread_storm.c", &["funnel", "8"]),
        ("thread_storm.c", &["crowd", "40"]),
        ("fork_tree.c", &["2", "2", "3"]),
    ] {
        let outcome = with_two_nodes(file, arguments, &[("SPANDREL_PURGE_DELAY", "10")])?;
        outcome.clean()?;
        // Three areas of each of two banks, and a mapping for each direct block.
        if number(&outcome, "placed")? < 6 || number(&outcome, "node0")? == 0 || number(&outcome, "node1")? == 0 {
            return Err(format!("not taken for two nodes\n{outcome}"));
        }
    }
    Ok(())
}

/// Named heaps whose parts are used on both nodes in turn: bills, limits and figures are as on one node.
fn tenants_come_and_go_on_two_nodes() -> Result<(), String> {
    let outcome = with_two_nodes("tenants.c", &["0.3"], &[])?;
    if outcome.end != End::Exit(0) || outcome.diagnostics().iter().any(|line| line.code != "ALLOCATOR_HEAP_LIMIT") {
        return Err(outcome.to_string());
    }
    for name in ["created", "destroyed", "deleted", "refused", "freed_by_others", "audits", "node0", "node1"] {
        if number(&outcome, name)? == 0 {
            return Err(format!("{name} is 0: that was not tested\n{outcome}"));
        }
    }
    Ok(())
}

/// The other bank helps one that is full: one thread gets both, 64 MiB each, before it gets mappings, which are placed
/// one by one.
fn a_full_bank_has_the_other_help_out() -> Result<(), String> {
    const TAKEN: i64 = 200;
    const BANKS_HOLD: i64 = 2 * 62;
    const AREAS: i64 = 6;
    let outcome = moving(0, "greedy.c", &[], &[("SPANDREL_RESERVE", "256M")])?;
    outcome.clean()?;
    let mappings = number(&outcome, "placed")? - AREAS;
    let good = number(&outcome, "mebibytes")? == TAKEN && (1..=TAKEN - BANKS_HOLD).contains(&mappings);
    if good { Ok(()) } else { Err(format!("{mappings} mappings\n{outcome}")) }
}

/// One too small for two banks is not divided.
fn a_tiny_reservation_is_not_divided() -> Result<(), String> {
    with_two_nodes("workload.c", &["2", "10"], &[("SPANDREL_RESERVE", "64M")])?
        .one_line(CODE, "too small to be divided")
}

fn huge_pages_and_nodes_go_together() -> Result<(), String> {
    with_two_nodes("workload.c", &["4", "100"], &[("SPANDREL_HUGEPAGES", "thp"), ("SPANDREL_PURGE_DELAY", "10")])?
        .clean()
}

fn main() -> ExitCode {
    let supervisor = supervisor_obstacle();
    run_cases(
        vec![
            case_if(obstacle(), "policies_reach_the_kernel", policies_reach_the_kernel),
            case_if(obstacle(), "local_says_nothing", local_says_nothing),
            case_if(
                obstacle(),
                "other_profiles_and_unknown_nodes_are_refused",
                other_profiles_and_unknown_nodes_are_refused,
            ),
            case_if(obstacle(), "a_kernel_that_refuses_is_reported_once", a_kernel_that_refuses_is_reported_once),
            case_if(supervisor.clone(), "programs_run_on_two_nodes", programs_run_on_two_nodes),
            case_if(supervisor.clone(), "tenants_come_and_go_on_two_nodes", tenants_come_and_go_on_two_nodes),
            case_if(supervisor.clone(), "a_full_bank_has_the_other_help_out", a_full_bank_has_the_other_help_out),
            case_if(supervisor.clone(), "a_tiny_reservation_is_not_divided", a_tiny_reservation_is_not_divided),
            case_if(supervisor, "huge_pages_and_nodes_go_together", huge_pages_and_nodes_go_together),
        ],
        false,
    )
}
