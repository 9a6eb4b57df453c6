//! `cargo xtask`: the developer's commands.
//!
//! Knows: the command line. Must not know: how any command does its work.

use anyhow::Result;
use clap::{Parser, Subcommand};
#[cfg(feature = "tables")]
use spandrel_xtask::docs;
#[cfg(feature = "gate")]
use spandrel_xtask::gate;
use spandrel_xtask::{count, demo, follow, header, layers, measure, prose, repo, symbols};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "Developer tools of Spandrel", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run real programs with and without the preload and compare them
    Demo(demo::Request),
    /// Compare a command's time and memory with and without the preload
    Measure(measure::Request),
    /// Count the instructions of malloc and free
    Instructions(count::Request),
    /// List the files of src/ that a cold malloc passes before memory is committed for it
    ColdCall(count::slow_call::Request),
    /// Compare what the library does with docs/evidence, or record it there
    #[cfg(feature = "gate")]
    #[command(subcommand)]
    Gate(gate::Request),
    /// Generate include/spandrel.h
    Header {
        /// Only check that it is fresh
        #[arg(long)]
        check: bool,
    },
    #[cfg(feature = "tables")]
    /// Generate docs/options.md, docs/diagnostics.md and the index
    Docs {
        /// Only check that they are fresh
        #[arg(long)]
        check: bool,
    },
    /// Check that a change took along what tells of it: docs page, evidence, changelog, index
    Follow {
        /// Commit to compare with (default: where the branch left what is published)
        #[arg(long)]
        base: Option<String>,
    },
    /// Check imports, sizes, atomics and errno in src/
    Layers,
    /// Check the length of lines, the words and the sentences of sources and pages
    Prose(prose::Request),
    /// Check what the built library exports, imports and needs
    Symbols {
        /// Library to check (default: the release build)
        #[arg(long)]
        library: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    // A reader that closes the pipe, such as `head`, ends the command quietly: Rust starts with SIGPIPE ignored, and
    // `println!` would panic.
    sigpipe::reset();
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False if a gate found a fault; it has printed which.
fn run(command: Command) -> Result<bool> {
    let root = repo::root()?;
    let done = match command {
        Command::Demo(request) => demo::run(&request),
        Command::Measure(request) => measure::compare(&request),
        Command::Instructions(request) => count::run(&request),
        Command::ColdCall(request) => count::slow_call::run(&request),
        #[cfg(feature = "gate")]
        Command::Gate(request) => return gate::run(&request),
        Command::Header { check } => header::run(&root, check),
        #[cfg(feature = "tables")]
        Command::Docs { check } => docs::run(&root, check),
        Command::Follow { base } => follow::run(&root, base.as_deref()),
        Command::Layers => layers::run(&root),
        Command::Prose(request) => prose::run(&root, &request),
        Command::Symbols { library } => symbols::run(&root, library.as_ref()),
    };
    done.map(|()| true)
}
