//! All processes that Spandrel serves, read again and again by a server that must go on for months, whatever one of them
//! does.
//!
//! Each process is read on a thread of its own. A process that lets its reader wait keeps that thread and no more: the
//! others are read meanwhile, a look ends in time, and the process is not read again before its reader has come back.
//! The number of such threads is bounded, and each user has few. Must not know: how figures are shown.

use super::limits::{AT_ONCE, OVERDUE_MAX, OVERDUE_OF_USER_MAX, PROCESSES_MAX, TURN};
use super::process::{self, Process};
use super::{Parts, is_not_served, reader, samples};
use anyhow::Result;
use spandrel::descriptor::{Descriptor, Snapshot};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A process by its number and the tick of its start: no other ever has both.
type Key = (u32, u64);

/// How long a process that Spandrel does not serve is believed to stay so.
const BELIEVED: Duration = Duration::from_secs(60);

/// A finding of earlier looks about a process.
enum Known {
    /// Spandrel serves it.
    Served(Box<Descriptor>),
    /// Spandrel does not, while it runs this program and until then.
    Other(PathBuf, Instant),
}

/// The figures of a process.
pub(crate) struct Figures {
    pub(crate) snapshot: Snapshot,
    /// The kernel's count for the whole process.
    pub(crate) resident: Option<u64>,
    /// Whether it keeps a heap profile now.
    pub(crate) is_profiled: bool,
}

/// A process that Spandrel serves.
pub(crate) struct Seen {
    pub(crate) id: u32,
    /// Its name, which it may choose, without control characters.
    pub(crate) name: String,
    /// Its control group.
    pub(crate) cgroup: String,
    /// Its figures, or why there are none.
    pub(crate) figures: Result<Box<Figures>, String>,
}

/// All processes at one moment, by number.
pub(crate) struct Look {
    pub(crate) seen: Vec<Seen>,
    /// Processes that were not read, because there were too many or the time was over.
    pub(crate) left_out: usize,
    pub(crate) took: Duration,
}

/// The result of a reading.
enum Outcome {
    /// Spandrel serves the process; its figures are still to come.
    Found(Box<Descriptor>),
    Served(Box<Descriptor>, Box<Figures>),
    Other,
    Failed(String),
}

/// Sends the outcome of a reading, also where the reading broke off.
struct Report {
    key: Key,
    outcome: Outcome,
    sender: Sender<(Key, Outcome)>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Other);
        // The receiver is gone only when the command ends.
        let _ = self.sender.send((self.key, outcome));
    }
}

/// See the module.
pub(crate) struct Fleet {
    known: BTreeMap<Key, Known>,
    /// Readings that went on when their look was over, and whose processes they are of.
    overdue: BTreeMap<Key, Option<u32>>,
    sender: Sender<(Key, Outcome)>,
    receiver: Receiver<(Key, Outcome)>,
}

impl Fleet {
    /// Of no process yet.
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { known: BTreeMap::new(), overdue: BTreeMap::new(), sender, receiver }
    }

    /// Looks at all processes, for so long at most.
    ///
    /// # Errors
    /// Where processes cannot be listed.
    pub(crate) fn look(&mut self, time: Duration) -> Result<Look> {
        let start = Instant::now();
        let end = start + time;
        while let Ok((key, outcome)) = self.receiver.try_recv() {
            match outcome {
                Outcome::Found(descriptor) => drop(self.known.insert(key, Known::Served(descriptor))),
                _ => drop(self.overdue.remove(&key)),
            }
        }
        let mut look = Look { seen: Vec::new(), left_out: 0, took: Duration::ZERO };
        let mut waiting = self.unread(&mut look)?;
        let mut running = BTreeMap::<Key, Instant>::new();
        loop {
            let in_turn = |running: &BTreeMap<Key, Instant>| {
                running.values().filter(|begun| begun.elapsed() < TURN).count() < AT_ONCE
            };
            while in_turn(&running)
                && let Some(key) = waiting.pop_front()
            {
                match self.begin(key) {
                    Ok(()) => drop(running.insert(key, Instant::now())),
                    Err(why) => self.give_up(key, why, &mut look),
                }
            }
            let now = Instant::now();
            if running.is_empty() || now >= end {
                break;
            }
            let turns = running.values().map(|&begun| begun + TURN).filter(|&over| over > now);
            let until = if waiting.is_empty() { end } else { turns.min().unwrap_or(end).min(end) };
            if let Ok((key, outcome)) = self.receiver.recv_timeout(until - now) {
                if let Outcome::Found(descriptor) = outcome {
                    self.known.insert(key, Known::Served(descriptor));
                    continue;
                }
                self.overdue.remove(&key);
                if running.remove(&key).is_some() {
                    self.learn(key, &outcome);
                    look.add(key, outcome);
                }
            }
        }
        look.left_out += waiting.len();
        for (key, _) in running {
            self.overdue.insert(key, process::user(key.0));
            self.give_up(key, format!("it could not be read within {time:?}"), &mut look);
        }
        look.seen.sort_by_key(|seen| seen.id);
        look.took = start.elapsed();
        Ok(look)
    }

    /// The processes to be read: those that are known to be served, then those of which nothing is known.
    fn unread(&mut self, look: &mut Look) -> Result<VecDeque<Key>> {
        let own = std::process::id();
        let ids = process::ids()?.into_iter().filter(|&id| id != own);
        let there: BTreeSet<Key> = ids.filter_map(|id| Some((id, process::started(id)?))).collect();
        self.known.retain(|key, _| there.contains(key));
        let now = Instant::now();
        let is_known_other = |key: &Key| match self.known.get(key) {
            Some(Known::Other(program, until)) => now < *until && *program == process::program(key.0),
            _ => false,
        };
        let (served, others): (Vec<Key>, Vec<Key>) = there
            .into_iter()
            .filter(|key| !is_known_other(key))
            .partition(|key| matches!(self.known.get(key), Some(Known::Served(_))));
        look.left_out = served.len().saturating_sub(PROCESSES_MAX);
        Ok(served.into_iter().take(PROCESSES_MAX).chain(others).collect())
    }

    /// Begins a reading; why not, where none may begin.
    fn begin(&self, key: Key) -> Result<(), String> {
        if self.overdue.contains_key(&key) {
            return Err("an earlier reading of it goes on".to_owned());
        }
        if self.overdue.len() >= OVERDUE_MAX {
            return Err("too many processes keep their readers waiting".to_owned());
        }
        let user = process::user(key.0);
        if self.overdue.values().filter(|&&of| of == user).count() >= OVERDUE_OF_USER_MAX {
            return Err("too many processes of its user keep their readers waiting".to_owned());
        }
        let known = match self.known.get(&key) {
            Some(Known::Served(descriptor)) => Some(**descriptor),
            _ => None,
        };
        let broken = Outcome::Failed("what it says of itself cannot be".to_owned());
        let report = Report { key, outcome: broken, sender: self.sender.clone() };
        let read = move || {
            let mut report = report;
            let sender = report.sender.clone();
            // The receiver is gone only when the command ends.
            let found = |descriptor: &Descriptor| drop(sender.send((key, Outcome::Found(Box::new(*descriptor)))));
            report.outcome = examine(key.0, known, found);
        };
        thread::Builder::new().spawn(read).map(drop).map_err(|error| error.to_string())
    }

    /// A process that is not read has its reason if Spandrel serves it; of others only the number counts.
    fn give_up(&self, key: Key, why: String, look: &mut Look) {
        match self.known.get(&key) {
            Some(Known::Served(_)) => look.add(key, Outcome::Failed(why)),
            _ => look.left_out += 1,
        }
    }

    fn learn(&mut self, key: Key, outcome: &Outcome) {
        let known = match outcome {
            Outcome::Served(descriptor, _) => Known::Served(descriptor.clone()),
            // A process that has just started may be on its way to the library.
            Outcome::Other => {
                let until = Instant::now() + process::age(key.1).min(BELIEVED);
                Known::Other(process::program(key.0), until)
            }
            Outcome::Failed(_) | Outcome::Found(_) => return drop(self.known.remove(&key)),
        };
        self.known.insert(key, known);
    }
}

impl Look {
    fn add(&mut self, (id, started): Key, outcome: Outcome) {
        let figures = match outcome {
            Outcome::Served(_, figures) => Ok(figures),
            Outcome::Failed(why) if process::started(id) == Some(started) => Err(why),
            Outcome::Failed(_) | Outcome::Other | Outcome::Found(_) => return,
        };
        if self.seen.len() >= PROCESSES_MAX {
            self.left_out += 1;
            return;
        }
        self.seen.push(Seen { id, name: process::name(id), cgroup: process::cgroup(id), figures });
    }
}

/// Reads a process, by what is known of it; `found` gets the descriptor of one of which nothing is known.
fn examine(id: u32, known: Option<Descriptor>, found: impl FnOnce(&Descriptor)) -> Outcome {
    // A process may have become another program since.
    if let Some(descriptor) = known
        && let Ok(outcome) = Process::open(id).and_then(|process| figures(Parts { process, descriptor }))
    {
        return outcome;
    }
    if !process::may_have(id) {
        return Outcome::Other;
    }
    let read = |process| {
        let parts = Parts::find(process)?;
        found(&parts.descriptor);
        figures(parts)
    };
    match Process::open(id).and_then(read) {
        Ok(outcome) => outcome,
        Err(why) if is_not_served(&why) => Outcome::Other,
        Err(why) => Outcome::Failed(format!("{why:#}")),
    }
}

fn figures(parts: Parts) -> Result<Outcome> {
    let snapshot = parts.best_of(reader::read_figures)?.snapshot;
    let is_profiled = samples::are_taken(&parts.process, &parts.descriptor)?;
    let resident = process::resident(parts.process.id());
    Ok(Outcome::Served(Box::new(parts.descriptor), Box::new(Figures { snapshot, resident, is_profiled })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of this process, which a fleet leaves out of its looks.
    fn own() -> Key {
        let id = std::process::id();
        (id, process::started(id).unwrap())
    }

    #[test]
    fn a_process_whose_reader_has_not_come_back_is_not_read_again() {
        let mut fleet = Fleet::new();
        fleet.begin(own()).unwrap();
        let (key, outcome) = fleet.receiver.recv().unwrap();
        // Spandrel serves this process, but the symbol by which tools find it is the product's alone.
        assert!(key == own() && matches!(outcome, Outcome::Other));
        fleet.overdue.insert(own(), process::user(own().0));
        assert!(fleet.begin(own()).unwrap_err().contains("an earlier reading"));
        // A look that finds its answer forgets that it was overdue.
        fleet.sender.send((own(), Outcome::Other)).unwrap();
        fleet.look(Duration::from_secs(5)).unwrap();
        assert!(fleet.overdue.is_empty());
    }

    #[test]
    fn threads_that_wait_are_bounded_for_each_user_and_in_all() {
        let user = process::user(own().0);
        let mut fleet = Fleet::new();
        fleet.overdue = (0..OVERDUE_OF_USER_MAX as u32).map(|id| ((id, 0), user)).collect();
        assert!(fleet.begin(own()).unwrap_err().contains("of its user"));
        fleet.overdue = (0..OVERDUE_MAX as u32).map(|id| ((id, 0), None)).collect();
        assert!(fleet.begin(own()).unwrap_err().contains("too many processes keep"));
    }

    #[test]
    fn a_reading_that_breaks_off_is_reported() {
        let (sender, receiver) = mpsc::channel();
        let report = Report { key: own(), outcome: Outcome::Failed("broken".to_owned()), sender };
        let ended = thread::spawn(move || {
            let _report = report;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(ended.join().is_err() && matches!(receiver.recv().unwrap().1, Outcome::Failed(_)));
    }

    #[test]
    fn looks_know_what_they_learnt() {
        let mut fleet = Fleet::new();
        let (first, second) = (fleet.look(Duration::from_secs(20)).unwrap(), fleet.look(Duration::from_secs(20)));
        assert!(first.left_out == 0 && first.took < Duration::from_secs(20));
        assert!(second.unwrap().left_out == 0 && !fleet.known.is_empty());
        assert!(fleet.known.values().any(|known| matches!(known, Known::Other(..))));
    }
}
