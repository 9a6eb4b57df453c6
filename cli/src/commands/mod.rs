//! The subcommands, one file each. Knows: their names. Must not know: what they share beyond that.

mod doctor;
mod explain;
mod leaks;
mod profile;
mod record;
mod report;
mod run;
mod sample;
mod serve;
mod stats;
mod symbolize;
mod top;

use anyhow::Result;
use clap::Subcommand;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a program under Spandrel
    Run(run::Request),
    /// Say whether Spandrel serves a process or a program, why not, and what it advises
    Doctor(doctor::Request),
    /// Say how a request of some size is served, or what is at an address of a process
    Explain(explain::Request),
    /// Show what the memory of a running process looks like
    Stats(stats::Request),
    /// Look at a running process again and again, and keep what was seen in a file
    Record(record::Request),
    /// Make a page with pictures of a process's memory, or of a recording
    Report(report::Request),
    /// Watch the memory of a running process, or list all processes that Spandrel serves
    Top(top::Request),
    /// Show Prometheus, and readers of heap profiles, all processes that Spandrel serves
    Serve(serve::Request),
    /// Make a heap profile of a program, or show one
    Profile(Box<profile::Request>),
    /// Show what a heap profile says is live, or what grew between two
    Leaks(leaks::Request),
    /// Add functions, source files and lines to the call stacks that the library printed
    Symbolize(symbolize::Request),
}

impl Command {
    /// Whether it prints for people or other commands, and has nothing left to do once they are gone: not the servers
    /// that answer programs, whose connections may break, nor what makes a profile.
    pub(crate) fn prints(&self) -> bool {
        match self {
            Self::Symbolize(request) => !request.serves(),
            Self::Profile(request) => !request.makes(),
            Self::Serve(_) => false,
            _ => true,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// Where it cannot be done; the message says what and why.
    pub(crate) fn execute(&self) -> Result<()> {
        match self {
            Self::Run(request) => run::execute(request),
            Self::Doctor(request) => doctor::execute(request),
            Self::Explain(request) => explain::execute(request),
            Self::Stats(request) => stats::execute(request),
            Self::Record(request) => record::execute(request),
            Self::Report(request) => report::execute(request),
            Self::Top(request) => top::execute(request),
            Self::Serve(request) => serve::execute(request),
            Self::Profile(request) => profile::execute(request),
            Self::Leaks(request) => leaks::execute(request),
            Self::Symbolize(request) => symbolize::execute(request),
        }
    }
}
