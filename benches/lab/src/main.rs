//! `spandrel-lab`: the command line of the lab.
//!
//! Knows: the commands and their options. Must not know: how any of them does its work.

use anyhow::Result;
use clap::{Parser, Subcommand};
use spandrel_lab::{attacks, command, publish, security};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "spandrel-lab", about = "Spandrel beside other allocators")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run workloads and programs under all allocators and write the results
    Run(command::Run),
    /// Measure hardened allocators beside the defaults in a few minutes and print the means
    Security(security::Security),
    /// Record the means of hardened allocators for the picture of time against attacks, and draw it
    SecurityPublish(attacks::Publish),
    /// Draw the picture of time against attacks from what is recorded
    SecurityPicture,
    /// Write the report and the pictures of results that are there already
    Report(publish::Report),
    /// Put report and pictures of a full run into docs/benchmarks
    Publish(publish::Publish),
    /// Print the Debian packages of programs that are not installed
    Packages,
    /// Print the names of all workloads and programs
    List,
}

/// False if a published figure is missed; that has been said.
fn run() -> Result<bool> {
    match Arguments::parse().command {
        Command::Run(request) => return command::run(&request),
        Command::Security(request) => return security::run(&request),
        Command::SecurityPublish(request) => attacks::publish(&request)?,
        Command::SecurityPicture => attacks::picture()?,
        Command::Report(request) => publish::report(&request)?,
        Command::Publish(request) => publish::publish(&request)?,
        Command::Packages => command::packages(),
        Command::List => command::list()?,
    }
    Ok(true)
}

fn main() -> ExitCode {
    harness::command::exit(run())
}
