//! `xtask`: the developer's commands.
//!
//! Knows: the command line. Must not know: how any command does its work.

use clap::{Parser, Subcommand};
use spandrel_xtask::{demo, docs, follow, header, layers, measure, repo, symbols};
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
    /// Generate include/spandrel.h
    Header {
        /// Only check that it is fresh
        #[arg(long)]
        check: bool,
    },
    /// Generate docs/options.md, docs/diagnostics.md and the index
    Docs {
        /// Only check that they are fresh
        #[arg(long)]
        check: bool,
    },
    /// Check that a change took along what tells of it: docs page, evidence, changelog, index
    Follow {
        /// What to compare with (default: where the branch left what is published)
        #[arg(long)]
        base: Option<String>,
    },
    /// Check the import order and the sizes in src/
    Layers,
    /// Check what the built library exports, imports and needs
    Symbols {
        /// Library to check (default: the release build)
        #[arg(long)]
        library: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = repo::root().and_then(|root| match Arguments::parse().command {
        Command::Demo(request) => demo::run(&request),
        Command::Measure(request) => measure::compare(&request),
        Command::Header { check } => header::run(&root, check),
        Command::Docs { check } => docs::run(&root, check),
        Command::Follow { base } => follow::run(&root, base.as_deref()),
        Command::Layers => layers::run(&root),
        Command::Symbols { library } => symbols::run(&root, library.as_ref()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
