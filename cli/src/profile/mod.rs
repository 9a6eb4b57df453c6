//! Heap profiles: reading them, giving addresses names, and showing what they say.
//!
//! Knows: pprof's format and the files that programs are made of. Must not know: the command line, how profiles are
//! made.

mod collapse;
mod diff;
mod flame;
mod message;
mod palette;
mod read;
mod symbols;
mod table;

pub(crate) use collapse::collapse;
pub(crate) use diff::difference;
pub(crate) use flame::{Flame, Look};
pub(crate) use read::{Profile, read};
pub(crate) use table::{Order, table};

/// A function on a stack.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Frame {
    /// Its name, or the file and an offset in it where that has none.
    pub(crate) name: String,
    /// The name of the file that its code is in, without folders.
    pub(crate) object: String,
    /// Source file and line, where they are known.
    pub(crate) place: Option<String>,
}

/// A stack, the outermost function first, and what the profile says of it.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) frames: Vec<Frame>,
    pub(crate) values: Vec<i64>,
}
