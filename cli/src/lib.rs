//! `spandrel`: starts programs under Spandrel and shows what their memory does.
//!
//! It is a library, so that man pages and completions are made from the definition of its command line.
//!
//! Knows: the command line. Must not know: how any command does its work; each has a file of its own in `commands`.

mod checkup;
mod commands;
mod html;
mod kernel;
mod library;
mod live;
mod moment;
mod output;
mod perf_map;
mod profile;
mod quantity;
mod recording;
mod scratch;
mod screen;
mod serve;
mod signals;
mod stack;
mod symbols;
mod system;
mod terminal;
mod view;

use clap::{CommandFactory, Parser};
use commands::Command;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "spandrel", about = "Starts programs under Spandrel and shows what their memory does", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The definition of the command line, of which man pages and completions are made.
#[must_use]
pub fn definition() -> clap::Command {
    Arguments::command()
}

/// Does what the command line of this process asks for.
#[must_use]
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if command.prints() {
        signals::end_with_closed_pipes();
    }
    match command.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
