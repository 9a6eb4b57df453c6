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
    /// Becomes the program, with the library preloaded and the options of spandrel(7) set. A process beside the program,
    /// which ends with it, adds functions, source files and lines to the call stacks that the library prints; with
    /// `-o symbolizer=0` there is none.
    Run(run::Request),
    /// Say whether Spandrel serves a process or a program, why not, and what it advises
    ///
    /// A program is checked without being started. Settings of the kernel that matter to the allocator follow, with
    /// advice where there is any. The status is 1 if Spandrel does not serve the process or the program.
    Doctor(doctor::Request),
    /// Say how a request of some size is served, or what is at an address of a process
    ///
    /// For a size: its lane, its class and the bytes that a block really has. For an address of a running process: the
    /// block, its state, and the thread whose heap has it.
    Explain(explain::Request),
    /// Show what the memory of a running process looks like
    ///
    /// The figures are read from outside: the process goes on meanwhile, and needs no preparation.
    Stats(stats::Request),
    /// Look at a running process again and again, and keep what was seen in a file
    ///
    /// `spandrel report` makes a page of that file.
    Record(record::Request),
    /// Make a page with pictures of a process's memory, or of a recording
    ///
    /// The page is one file without references to others. It shows what is resident and to whom it belongs, the size
    /// classes, a map of the memory, and, of a recording, all that over time.
    Report(report::Request),
    /// Watch the memory of a running process, or list all processes that Spandrel serves
    ///
    /// Keys sort, scroll, filter and open; the last line of the screen names them. If standard output is no terminal, it
    /// looks once and prints plain text.
    Top(top::Request),
    /// Show Prometheus, and readers of heap profiles, all processes that Spandrel serves
    Serve(serve::Request),
    /// Make a heap profile of a program, or show one
    ///
    /// Requests are sampled from the start of the program to its end, whatever ends it, or for a while in a process that
    /// Spandrel serves already. The file has pprof's format, with names, lines and build ids. It shows the peak of a
    /// program that ended by itself, and what was in use in any other case.
    Profile(Box<profile::Request>),
    /// Show what a heap profile says is live, or what grew between two
    ///
    /// The stacks that hold the most bytes come first. `spandrel profile` makes such files.
    Leaks(leaks::Request),
    /// Add functions, source files and lines to the call stacks that the library printed
    ///
    /// Copies files, or standard input, and stacks in them say more then; or describes places one by one. The files that
    /// the program was made of, and their debug information, must be there.
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
