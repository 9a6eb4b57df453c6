//! `spandrel-mutants`: applies each patch of the list to a copy of the sources and wants its test to fail.
//!
//! Knows: the command line, the places below `target/`. Must not know: how any part does its work.

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use harness::command::exit;
use spandrel_mutants::cargo::Cargo;
use spandrel_mutants::list::{Kind, List, Mutant};
use spandrel_mutants::tree::Tree;
use spandrel_mutants::{run, table};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// When a test counts as hanging.
const SECONDS: u64 = 120;

#[derive(Debug, Parser)]
#[command(about = "Breaks the promises of docs/ one by one, and wants a test to fail each time", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply the mutants one by one and run the test that each names; ends 1 if one survives
    Run {
        /// Only those whose name contains one of these words
        only: Vec<String>,
        /// Seconds after which a test counts as hanging
        #[arg(long, default_value_t = SECONDS)]
        limit: u64,
    },
    /// Check that every patch fits the sources and every test named is there; builds no mutant
    Check,
    /// Print the list
    List,
}

fn root() -> Result<PathBuf> {
    let start = env::current_dir().context("no current directory")?;
    let found = start.ancestors().find(|dir| dir.join("Cargo.toml").is_file() && dir.join("tests/mutants").is_dir());
    found.map(Path::to_path_buf).context("run this inside the Spandrel repository")
}

fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target))
}

/// Applies and runs; false if the run failed.
fn run_all(root: &Path, list: &List, only: &[String], limit: u64) -> Result<bool> {
    let chosen = |mutant: &&Mutant| only.is_empty() || only.iter().any(|word| mutant.name.contains(word.as_str()));
    let mutants: Vec<&Mutant> = list.mutants.iter().filter(chosen).collect();
    if mutants.is_empty() {
        bail!("no mutant is called so");
    }
    let place = target(root).join("mutants");
    let tree = Tree::of(root, place.join("tree"))?;
    let tests = Cargo::of_copy(tree.root.clone(), place.join("build"), Duration::from_secs(limit));
    println!("first the tests without any mutant, in {}", tree.root.display());
    let before = run::unmutated(&mutants, &tests)?;
    println!("{} tests were run\n\n{}", before.len(), table::heading());
    let mut all = Vec::new();
    for mutant in mutants {
        let verdict = before.get(&mutant.test).copied().context("a test was not run")?;
        let done = run::attempt(mutant, verdict, &tree, &tests)?;
        println!("{}", table::line(&done));
        all.push(done);
    }
    print!("\n{}", table::untested(&list.untested));
    println!("{}", table::summary(&all));
    Ok(!all.iter().any(|done| done.outcome.is_bad()))
}

/// Checks; false if anything does not fit.
fn check(root: &Path, list: &List) -> Result<bool> {
    let mut faults = list.faults(root);
    let kinds: BTreeSet<&Kind> = list.mutants.iter().map(|mutant| &mutant.test.kind).collect();
    let tests = Cargo::in_place(root.to_path_buf(), target(root));
    let names = kinds.into_iter().map(|kind| Ok((kind, tests.names(kind)?)));
    let names: BTreeMap<&Kind, Vec<String>> = names.collect::<Result<_>>()?;
    for Mutant { name, test, .. } in &list.mutants {
        if !names.get(&test.kind).is_some_and(|names| names.contains(&test.name)) {
            faults.push(format!("{name}: there is no test `{test}`"));
        }
    }
    for fault in &faults {
        println!("{fault}");
    }
    println!("mutants: {} patches, {} faults", list.mutants.len(), faults.len());
    Ok(faults.is_empty())
}

fn main() -> ExitCode {
    let done = root().and_then(|root| {
        let list = List::read(&root)?;
        match Arguments::parse().command {
            Command::Run { only, limit } => run_all(&root, &list, &only, limit),
            Command::Check => check(&root, &list),
            Command::List => {
                list.mutants.iter().for_each(|mutant| {
                    println!("{:<30} {:<60} {}", mutant.name, mutant.test.to_string(), mutant.promise)
                });
                print!("{}", table::untested(&list.untested));
                Ok(true)
            }
        }
    });
    exit(done)
}
