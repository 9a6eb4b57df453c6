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

/// The commands. The first line of each comment is its help, the rest the description of its man page.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a program under Spandrel
    ///
    /// Replaces itself by the program (exec), with the library preloaded and the options of spandrel(7) set. A helper
    /// process adds functions, source files and lines to the call stacks that the library prints, and ends with the
    /// program; `-o symbolizer=0` leaves it out.
    Run(run::Request),
    /// Say whether Spandrel serves a process or a program, and if not, why
    ///
    /// A program is checked without being started. The command also prints the settings of the kernel that matter to the
    /// allocator, with advice where there is any. The status is 1 if Spandrel does not serve the process or the program.
    Doctor(doctor::Request),
    /// Say how a request of some size is served, or what is at an address of a process
    ///
    /// For a size: its lane, its size class and the usable bytes of a block. For an address of a running process: the
    /// block, its state, and the thread whose heap owns it.
    Explain(explain::Request),
    /// Show the memory statistics of a running process
    ///
    /// The figures are read from outside, while the process runs. It needs no preparation.
    Stats(stats::Request),
    /// Record the memory statistics of a running process over time, in a file
    ///
    /// `spandrel report` makes a page of that file.
    Record(record::Request),
    /// Make a page with pictures of a process's memory, or of a recording
    ///
    /// The page is one file without references to others. It shows the resident memory and its parts, the size classes,
    /// a map of the memory, and, for a recording, their course over time.
    Report(report::Request),
    /// Watch the memory of a running process, or list all processes that Spandrel serves
    ///
    /// Keys sort, scroll, filter and open; the last line of the screen names them. If standard output is not a terminal,
    /// the command prints plain text once.
    Top(top::Request),
    /// Serve the figures of all processes under Spandrel to Prometheus, and their heap profiles to readers of these
    Serve(serve::Request),
    /// Make a heap profile of a program, or show one
    ///
    /// Requests are sampled from the start of a program to its end, whatever ends it, or for some seconds in a process
    /// that runs under Spandrel already. The file has pprof's format, with names, lines and build ids. Its default view is
    /// the peak if the program ended by itself, and the memory in use at the end otherwise.
    Profile(Box<profile::Request>),
    /// Show which call stacks hold memory in a heap profile, or hold more in a second one
    ///
    /// The stacks that hold the most bytes come first. `spandrel profile` makes such files.
    Leaks(leaks::Request),
    /// Add functions, source files and lines to the call stacks that the library printed
    ///
    /// Copies files, or standard input, and adds names and lines to the call stacks in them; or describes single places.
    /// It needs the program's files and their debug information.
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
