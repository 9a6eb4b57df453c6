//! What a hardened heap is made of: notes about every block, bytes around and in freed blocks that nobody may write, a quarantine that freed
//! blocks leave at random, and spare blocks among which a fresh one is drawn. Must not know heaps.

mod marks;
mod mode;
mod note;
mod quarantine;
mod shuffle;

pub(crate) use marks::{CANARY_MIN, Marks, Overwritten};
pub(crate) use mode::{HARDENED, begin};
pub(crate) use note::Note;
pub(crate) use quarantine::{Patient, Quarantine};
pub(crate) use shuffle::Spares;
