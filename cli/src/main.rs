//! `spandrel`: starts programs under Spandrel and shows what their memory does.
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

use clap::Parser;
use commands::Command;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "spandrel", about = "Starts programs under Spandrel and shows what their memory does", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
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
