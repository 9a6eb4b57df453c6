//! How a real program is described: what it needs, what it reads, what is run, what has to be the same.
//!
//! Knows: the shape of a description. Must not know: how runs are measured.
//! In every argument `{port}` stands for a free TCP port; the working directory of all steps is the one that holds the
//! inputs.

use crate::repo;
use anyhow::Result;

/// One that runs the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// `make demo`: same output with and without Spandrel?
    Demo,
    /// `make bench`: how does it compare with other allocators?
    Lab,
}

/// One real program with its work.
#[derive(Debug)]
pub struct Program {
    /// Those that run it.
    pub users: &'static [User],
    /// Short name, for the table and `--only`.
    pub name: &'static str,
    /// Its work here, in a few words.
    pub work: &'static str,
    /// Debian packages that bring it.
    pub packages: &'static [&'static str],
    /// The commands it takes.
    pub commands: &'static [&'static str],
    /// Without it the demonstration fails.
    pub required: bool,
    /// Variables it runs with.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files written before each run.
    pub inputs: &'static [Input],
    /// Its steps, in order; times add up, the largest peak counts.
    pub steps: &'static [Step],
    /// Result files that must not differ either.
    pub results: &'static [&'static str],
}

/// A generated file.
#[derive(Debug)]
pub struct Input {
    /// Its name in the working directory.
    pub name: &'static str,
    /// Its text.
    pub content: Content,
}

/// Where an input comes from.
#[derive(Debug)]
pub enum Content {
    /// A fixed text.
    Text(&'static str),
    /// Made by a function that always returns the same.
    Made(fn() -> String),
}

/// One step of a program's work.
#[derive(Debug)]
pub enum Step {
    /// A command before the work, neither measured nor preloaded.
    Prepare(&'static [&'static str]),
    /// A command, to its end.
    Run(&'static [&'static str]),
    /// A command that reads an input file.
    Feed(&'static [&'static str], &'static str),
    /// A server, measured, while clients, not measured and not preloaded, talk to it.
    Serve(&'static [&'static str], &'static [Client]),
}

/// Something that talks to a server. The last one has to make the server stop.
#[derive(Debug)]
pub enum Client {
    /// A command whose output counts as output.
    Run(&'static [&'static str]),
    /// The same with an input file.
    Feed(&'static [&'static str], &'static str),
    /// A command whose output says how fast it was and does not count.
    Load(&'static [&'static str]),
    /// A command that stops the server and may not live to see it.
    Stop(&'static [&'static str]),
    /// Code of this crate; gets the port and returns output.
    Code(fn(u16) -> Result<String>),
}

impl Program {
    /// The commands that are not installed.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.commands.iter().copied().filter(|command| repo::program(command).is_none()).collect()
    }
}

impl Content {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Made(make) => make(),
        }
    }
}
