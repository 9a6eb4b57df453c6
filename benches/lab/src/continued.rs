//! Going on with the results of an earlier run: which may be continued, and what the record then says.
//!
//! Knows: what makes two runs comparable. Must not know: how a run is made.
//! Invariants: runs of different libraries, amounts of work or choices are never mixed; the record names every call.

use crate::results::{Allocator, Form, Made, Results, Workload};
use crate::schedule::Earlier;
use anyhow::{Result, bail};
use std::time::Duration;

/// Refuses results of another choice, amount of work or library.
///
/// # Errors
/// When something differs; the text says what.
pub fn check(
    before: &Results,
    form: Form,
    scale: f64,
    columns: &[&Allocator],
    works: impl Iterator<Item = String>,
) -> Result<()> {
    if before.made.form != form || before.made.scale != scale {
        bail!("`spandrel-lab {}` ran another choice or amount of work, so it cannot be continued", before.made.command);
    }
    for now in columns {
        let Some(then) = before.allocators.iter().find(|then| then.name == now.name) else {
            bail!("the earlier run was without {}, so it cannot be continued", now.name);
        };
        if (&then.sha256, &then.environment, &then.absent) != (&now.sha256, &now.environment, &now.absent) {
            bail!("{} is not the library or has not the options of the earlier run: measure all of it anew", now.name);
        }
    }
    let names = |workloads: &[Workload]| workloads.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    if names(&before.workloads) != works.collect::<Vec<_>>() {
        bail!("the earlier run had other workloads or programs, so it cannot be continued");
    }
    Ok(())
}

/// The earlier runs, for the schedule.
#[must_use]
pub fn earlier(before: &Results) -> Earlier<'_> {
    Earlier { runs: &before.runs, budget: Duration::from_secs_f64(before.made.budget) }
}

/// Makes the record of both calls out of that of the later one, whose runs include the earlier ones.
pub fn join(before: &Made, load_before: f64, results: &mut Results) {
    let made = &mut results.made;
    made.commit.clone_from(&before.commit);
    made.command = format!("{}; {}", before.command, made.command);
    made.budget += before.budget;
    made.seconds += before.seconds;
    results.machine.load_before = results.machine.load_before.max(load_before);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Machine, Role, SCHEMA};
    use std::collections::BTreeMap;

    fn library(sha256: &str) -> Allocator {
        Allocator {
            name: "spandrel".to_owned(),
            role: Role::Own,
            group: crate::results::Group::Default,
            origin: String::new(),
            version: String::new(),
            sha256: sha256.to_owned(),
            environment: Vec::new(),
            absent: None,
        }
    }

    fn results(command: &str) -> Results {
        let made = Made {
            date: String::new(),
            commit: format!("commit of {command}"),
            command: command.to_owned(),
            seed: 1,
            form: Form::Full,
            runs: 3,
            budget: 60.0,
            scale: 0.5,
            seconds: 61.0,
            left_out: BTreeMap::new(),
        };
        let machine = Machine {
            cpu: String::new(),
            cores: 2,
            memory_mib: 1,
            kernel: String::new(),
            glibc: String::new(),
            system: String::new(),
            huge_pages: String::new(),
            load_before: 0.5,
        };
        Results {
            schema: SCHEMA,
            made,
            machine,
            allocators: vec![library("a")],
            workloads: Vec::new(),
            runs: Vec::new(),
        }
    }

    #[test]
    fn only_the_same_libraries_and_work_are_continued() {
        let before = results("run");
        let check = |form, scale, library: &Allocator, works: &[&str]| {
            check(&before, form, scale, &[library], works.iter().map(|name| (*name).to_owned())).is_ok()
        };
        assert!(check(Form::Full, 0.5, &library("a"), &[]));
        assert!(!check(Form::Quick, 0.5, &library("a"), &[]));
        assert!(!check(Form::Full, 1.0, &library("a"), &[]));
        assert!(!check(Form::Full, 0.5, &library("b"), &[]));
        assert!(!check(Form::Full, 0.5, &library("a"), &["other"]));
        assert!(!check(Form::Full, 0.5, &Allocator { name: "new".to_owned(), ..library("a") }, &[]));
    }

    #[test]
    fn the_record_names_both_calls_and_the_commit_of_the_first() {
        let mut both = results("run --continue");
        join(&results("run").made, 2.0, &mut both);
        assert_eq!(both.made.command, "run; run --continue");
        assert_eq!(both.made.commit, "commit of run");
        assert!((both.made.budget - 120.0).abs() < f64::EPSILON && (both.made.seconds - 122.0).abs() < f64::EPSILON);
        assert!((both.machine.load_before - 2.0).abs() < f64::EPSILON);
    }
}
