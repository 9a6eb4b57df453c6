//! Mode `hardened` and its parts: notes about every block, bytes behind live blocks and in freed ones that the program
//! must not write, a quarantine that freed blocks leave at random, and held blocks among which a fresh one is drawn.

mod marks;
mod mode;
mod note;
mod quarantine;
mod shuffle;

pub(crate) use marks::{CANARY_MIN, Marks, Overwritten};
pub(crate) use mode::{HARDENED, begin};
pub(crate) use note::Note;
pub(crate) use quarantine::{Held, Quarantine};
pub(crate) use shuffle::Shuffle;
