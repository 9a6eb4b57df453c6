//! A process's memory as Spandrel sees it, read from outside while the process goes on.
//!
//! Knows: how to find and follow the library's descriptor. Must not know: how any of it is shown.

mod bindings;
mod fleet;
mod holders;
#[cfg(test)]
mod hostile;
mod limits;
mod object;
mod picture;
mod place;
mod process;
mod reader;
mod request;
mod samples;
mod search;
mod words;

pub(crate) use bindings::{Allocator, Binding};
pub(crate) use fleet::{Figures, Fleet, Look, Seen};
pub(crate) use picture::{Large, Owner, Picture};
pub(crate) use place::{Block, Place, State};
pub(crate) use process::{Process, exists, is_refused, resident};
#[cfg(test)]
pub(crate) use samples::Sampled;
pub(crate) use samples::Samples;

use anyhow::{Error, Result, anyhow, bail};
use limits::{PATIENCE, PATIENCE_IN_LIST};
use object::NotServed;
use spandrel::descriptor::{Descriptor, START, STOP};
use spandrel::table::REGION_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Readings before one is taken that a thread's work has torn.
const TRIES: usize = 4;

/// Looks after which processes that Spandrel does not serve are asked about again.
const LOOKS_REMEMBERED: usize = 16;

/// A process that Spandrel serves. It is not trusted: each reading happens on a thread of its own, which is left to
/// itself when it takes too long or fails.
pub(crate) struct Subject {
    parts: Arc<Parts>,
    patience: Duration,
}

struct Parts {
    process: Process,
    descriptor: Descriptor,
}

/// A process that Spandrel seems to serve and that cannot be read, by number and name, and why.
pub(crate) struct Unreadable {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) why: Error,
}

/// Does `work` on process `id`, for so long at most.
fn aside<T: Send + 'static>(
    id: u32,
    patience: Duration,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = mpsc::sync_channel(1);
    // The receiver is gone when an answer comes too late.
    thread::Builder::new().spawn(move || send.send(work()).ok())?;
    receive.recv_timeout(patience).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => {
            Err(anyhow!("process {id}: it could not be read within {} seconds", patience.as_secs()))
        }
        RecvTimeoutError::Disconnected => Err(anyhow!("process {id}: what it says of itself cannot be")),
    })
}

impl Subject {
    /// Finds the library in process `id`.
    ///
    /// # Errors
    /// Where there is no such process, it may not be read, Spandrel does not serve it, or it does not say what this
    /// command knows.
    pub(crate) fn open(id: u32) -> Result<Self> {
        aside(id, PATIENCE, move || Self::find(id, PATIENCE))
    }

    fn find(id: u32, patience: Duration) -> Result<Self> {
        Ok(Self { parts: Arc::new(Parts::find(Process::open(id)?)?), patience })
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.parts.process
    }

    /// A picture of its memory now; of several readings the first that is whole, or the last one.
    ///
    /// # Errors
    /// Where the process has ended, or what it says of itself cannot be.
    pub(crate) fn picture(&self) -> Result<Picture> {
        self.look(Parts::picture)
    }

    /// The place that `address` is in.
    ///
    /// # Errors
    /// As for [`Subject::picture`].
    pub(crate) fn place(&self, address: usize) -> Result<Place> {
        self.look(move |parts| parts.place(address))
    }

    /// Has the process start a heap profile with so many bytes between two samples. The next slow call of any of its
    /// threads does that; until then `pause`, which is given the time so far, waits a little and says whether to go on.
    ///
    /// # Errors
    /// Where it cannot: its mode does not sample, or it made no slow call until `pause` wanted to wait no longer.
    pub(crate) fn start_profile(&self, rate: usize, mut pause: impl FnMut(Duration) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        self.look(move |parts| request::ask(parts, START, rate))?;
        while !self.look(request::is_done)? {
            if !pause(start.elapsed())? {
                self.stop_profile()?;
                bail!("process {} made no slow call of malloc or free", self.process().title());
            }
        }
        Ok(())
    }

    /// Has the process take no more samples from its next slow call on. A request that it has not done yet is void.
    ///
    /// # Errors
    /// Where the process cannot be written to.
    pub(crate) fn stop_profile(&self) -> Result<()> {
        self.look(|parts| request::ask(parts, STOP, 0))
    }

    /// The heap profile that the process keeps of itself; `None` where it takes no samples now.
    ///
    /// # Errors
    /// As for [`Subject::picture`].
    pub(crate) fn samples(&self) -> Result<Option<Samples>> {
        self.look(|parts| samples::read(&parts.process, &parts.descriptor))
    }

    /// Whether its mode lets requests be sampled.
    pub(crate) fn can_sample(&self) -> bool {
        samples::can_be(&self.parts.descriptor)
    }

    /// Its resident bytes by what they are of, the most first.
    ///
    /// # Errors
    /// Where they may not be read.
    pub(crate) fn resident_parts(&self) -> Result<Vec<(String, u64)>> {
        let pages = &self.parts.descriptor.pages;
        let start = pages.entries.min(pages.records).min(pages.data);
        let end =
            pages.data.saturating_add(pages.banks.saturating_mul(pages.bank_regions).saturating_mul(REGION_BYTES));
        self.parts.process.resident_parts(start..end, pages.data)
    }

    fn look<T: Send + 'static>(&self, what: impl FnOnce(&Parts) -> Result<T> + Send + 'static) -> Result<T> {
        let parts = Arc::clone(&self.parts);
        aside(parts.process.id(), self.patience, move || what(&parts))
    }
}

impl Parts {
    fn find(process: Process) -> Result<Self> {
        let descriptor = object::descriptor(&process)?;
        Ok(Self { process, descriptor })
    }

    fn picture(&self) -> Result<Picture> {
        self.best_of(reader::read)
    }

    /// Of several readings the first that is whole, or the last one.
    fn best_of(&self, read: impl Fn(&Process, &Descriptor) -> Result<Picture>) -> Result<Picture> {
        let mut last = read(&self.process, &self.descriptor)?;
        for _ in 1..TRIES {
            if last.torn == 0 {
                break;
            }
            last = read(&self.process, &self.descriptor)?;
        }
        last.snapshot.disturbed = last.torn > 0;
        Ok(last)
    }
}

/// The processes that Spandrel serves, looked for again and again. A finding about a process holds as long as it lives,
/// but for those that Spandrel does not serve: they may become another program.
#[derive(Default)]
pub(crate) struct Watch {
    known: BTreeMap<(u32, u64), Option<Subject>>,
    looks: usize,
}

impl Watch {
    /// Looks for processes that are new or gone; those that cannot be read.
    ///
    /// # Errors
    /// Where processes cannot be listed.
    pub(crate) fn update(&mut self) -> Result<Vec<Unreadable>> {
        let own = std::process::id();
        let ids = process::ids()?.into_iter().filter(|&id| id != own);
        let there: BTreeSet<_> = ids.filter_map(|id| Some((id, process::started(id)?))).collect();
        let forgets = self.looks.is_multiple_of(LOOKS_REMEMBERED);
        self.looks += 1;
        self.known.retain(|key, subject| there.contains(key) && (subject.is_some() || !forgets));
        let mut unreadable = Vec::new();
        for key @ (id, _) in there {
            if self.known.contains_key(&key) {
                continue;
            }
            let find =
                move || if process::may_have(id) { Subject::find(id, PATIENCE_IN_LIST).map(Some) } else { Ok(None) };
            match aside(id, PATIENCE_IN_LIST, find) {
                Ok(subject) => drop(self.known.insert(key, subject)),
                Err(why) if why.is::<NotServed>() || !process::exists(id) => drop(self.known.insert(key, None)),
                Err(why) => unreadable.push(Unreadable { id, name: process::name(id), why }),
            }
        }
        Ok(unreadable)
    }

    /// Those that may be read.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.known.values().flatten()
    }

    /// The process of that number.
    pub(crate) fn subject(&self, id: u32) -> Option<&Subject> {
        self.subjects().find(|subject| subject.process().id() == id)
    }
}

/// The objects of process `id` that call an allocator, and which.
///
/// # Errors
/// Where it may not be read.
pub(crate) fn bindings(id: u32) -> Result<Vec<Binding>> {
    aside(id, PATIENCE, move || bindings::bindings(&Process::open(id)?))
}

/// Whether an error means that Spandrel does not serve the process.
pub(crate) fn is_not_served(error: &Error) -> bool {
    error.is::<NotServed>()
}

/// The one process that Spandrel serves, where none is named.
///
/// # Errors
/// Where there is none, or more than one.
pub(crate) fn only_subject() -> Result<Subject> {
    let mut watch = Watch::default();
    watch.update()?;
    let mut all: Vec<_> = watch.known.into_values().flatten().collect();
    match (all.pop(), all.as_slice()) {
        (Some(one), []) => Ok(one),
        (None, _) => bail!("no process that may be read here is served by Spandrel"),
        (Some(last), others) => {
            let names: Vec<_> = others.iter().chain([&last]).map(|subject| subject.process().title()).collect();
            bail!("several processes are served by Spandrel, name one: {}", names.join(", "))
        }
    }
}
