//! Runs one workload on whatever `malloc` the process was given, and prints one line of JSON.
//!
//! Knows: the command line. Must not know: what a workload does.

mod catalogue;
mod families;
mod harness;
mod outcome;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use harness::form::Form;
use std::process::ExitCode;

const DEFAULT_SEED: u64 = 4141;
const LARGEST_SCALE: f64 = 1000.0;

#[derive(Debug, Parser)]
#[command(name = "spandrel-workload", about = "Workloads for malloc, after the published ones")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints all workloads as JSON
    List,
    /// Runs one workload and prints one line of JSON
    Run {
        /// Its name, see `list`
        name: String,
        /// Factor on the amount of work; 0.2 is the quick form
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        /// Seed of all random choices
        #[arg(long, default_value_t = DEFAULT_SEED)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::List => println!("{}", serde_json::to_string_pretty(catalogue::ALL)?),
        Command::Run { name, scale, seed } => {
            if !(scale > 0.0 && scale <= LARGEST_SCALE) {
                bail!("--scale takes a number above 0 and up to {LARGEST_SCALE}");
            }
            let Some(workload) = catalogue::ALL.iter().find(|workload| workload.name == name) else {
                bail!("no workload is named {name}; known are: {}", catalogue::names());
            };
            let outcome = (workload.run)(&Form { scale, seed });
            println!("{}", serde_json::to_string(&outcome.line(workload.name))?);
        }
    }
    Ok(())
}
