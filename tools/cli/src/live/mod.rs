//! A process's memory as Spandrel sees it, read from outside while the process goes on.
//!
//! Knows: how to find and follow the library's descriptor. Must not know: how any of it is shown.

mod object;
mod picture;
mod place;
mod process;
mod reader;
mod search;
mod words;

pub(crate) use picture::{Large, Owner, Picture};
pub(crate) use place::{Block, Place, State};
pub(crate) use process::{Process, resident};

use anyhow::{Result, bail};
use spandrel::live::Descriptor;

/// Readings before one is taken that a thread's work has torn.
const TRIES: usize = 4;

/// A process that Spandrel serves.
pub(crate) struct Subject {
    process: Process,
    descriptor: Descriptor,
}

impl Subject {
    /// Finds the library in process `id`.
    ///
    /// # Errors
    /// Where there is no such process, it may not be read, or Spandrel does not serve it.
    pub(crate) fn open(id: u32) -> Result<Self> {
        let process = Process::open(id)?;
        let descriptor = object::descriptor(&process)?;
        Ok(Self { process, descriptor })
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// What its memory looks like now; of several readings the first that is whole, or the last one.
    ///
    /// # Errors
    /// Where the process has ended.
    pub(crate) fn picture(&self) -> Result<Picture> {
        let mut last = reader::read(&self.process, &self.descriptor)?;
        for _ in 1..TRIES {
            if last.torn == 0 {
                break;
            }
            last = reader::read(&self.process, &self.descriptor)?;
        }
        last.snapshot.disturbed = last.torn > 0;
        Ok(last)
    }
}

/// The processes that Spandrel serves and that may be read.
pub(crate) fn subjects() -> Result<Vec<Subject>> {
    let own = std::process::id();
    let ids = process::ids()?.into_iter().filter(|&id| id != own && process::may_have(id));
    Ok(ids.filter_map(|id| Subject::open(id).ok()).collect())
}

/// The one process that Spandrel serves, where none is named.
///
/// # Errors
/// Where there is none, or more than one.
pub(crate) fn only_subject() -> Result<Subject> {
    let mut all = subjects()?;
    match (all.pop(), all.as_slice()) {
        (Some(one), []) => Ok(one),
        (None, _) => bail!("no process that may be read here is served by Spandrel"),
        (Some(last), others) => {
            let names: Vec<_> = others.iter().chain([&last]).map(|subject| subject.process().title()).collect();
            bail!("several processes are served by Spandrel, name one: {}", names.join(", "))
        }
    }
}
