//! As much of NUMA as one node can show: that policies reach the kernel, and that what cannot be is refused.
//! `numa.toml` has two nodes.

use super::check::{Check, Result, run_refused, said, status};
use super::machine;
use super::{HOOKED, PROFILES};
use crate::evidence::figures::{Figure, Found};
use harness::run::Outcome;

const CODE: &str = "ALLOCATOR_NUMA_POLICY";
const NO_POLICY: &str = "default";

/// All of them.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (numa, policy) in
        [("off", NO_POLICY), ("first-touch", "local"), ("interleave", "interleave"), ("bind:0", "bind")]
    {
        let key = format!("policy.{numa}");
        checks.push(
            Check::new(key, "what the kernel calls the policy of a small and a direct block", CODE, move || {
                placed(numa, policy)
            })
            .quick(),
        );
    }
    checks.push(Check::new("policy.bind:900", "a node that there is not", CODE, no_such_node).quick());
    for (name, call) in [("mbind", libc::SYS_mbind), ("get_mempolicy", libc::SYS_get_mempolicy)] {
        let what = format!("a kernel without {name}");
        checks.push(Check::new(format!("without.{name}"), what, CODE, move || without(call)).quick());
    }
    for profile in PROFILES.into_iter().filter(|profile| *profile != HOOKED) {
        let what = "every policy is refused: one line each, and the kernel's own";
        checks.push(Check::new(format!("refused.{profile}"), what, CODE, move || refused(profile)).quick());
    }
    checks
}

fn placement(profile: &str, numa: &str) -> Result<Outcome> {
    super::check::run(
        "placement.c",
        &[],
        &[("SPANDREL_PROFILE", profile), ("SPANDREL_NUMA", numa), ("SPANDREL_LEAKS", "0")],
    )
}

/// The policies of both blocks, without nodes; they are one word if they are the same.
fn words(outcome: &Outcome) -> String {
    let mut words: Vec<&str> = outcome.stdout.lines().map(|line| line.split(':').next().unwrap_or(line)).collect();
    words.dedup();
    words.join(" ")
}

fn figures(outcome: &Outcome, policy: &str, what: &str, lines: i64) -> Vec<Figure> {
    vec![
        Figure::number("status", status(outcome)).is(0),
        Figure::number("lines", said(outcome, CODE, what)).is(lines),
        Figure::word("policy", &words(outcome), policy),
    ]
}

fn looked_at(make: impl FnOnce() -> Result<Vec<Figure>>) -> Result<Found> {
    machine::numa_obstacle().map_or_else(|| make().map(Found::Figures), |why| Ok(Found::Impossible(why)))
}

fn placed(numa: &str, policy: &str) -> Result<Found> {
    looked_at(|| Ok(figures(&placement(HOOKED, numa)?, policy, "", 0)))
}

fn no_such_node() -> Result<Found> {
    looked_at(|| Ok(figures(&placement(HOOKED, "bind:900")?, NO_POLICY, "SPANDREL_NUMA=bind:900: no such node", 1)))
}

fn without(call: i64) -> Result<Found> {
    looked_at(|| {
        let environment = [("SPANDREL_PROFILE", HOOKED), ("SPANDREL_NUMA", "interleave")];
        Ok(figures(&run_refused("placement.c", &environment, call, libc::ENOSYS)?, NO_POLICY, "", 1))
    })
}

fn refused(profile: &str) -> Result<Found> {
    looked_at(|| {
        let (mut lines, mut words_seen) = (0, Vec::new());
        let policies = ["first-touch", "local", "interleave", "bind:0"];
        for numa in policies {
            let outcome = placement(profile, numa)?;
            lines += said(&outcome, CODE, &format!("SPANDREL_NUMA={numa}"));
            words_seen.push(words(&outcome));
        }
        words_seen.dedup();
        Ok(vec![
            Figure::number("lines", lines).is(policies.len() as i64),
            Figure::word("policy", &words_seen.join(" "), NO_POLICY),
        ])
    })
}
