//! Layer 2: options. One table holds name, kind, default and help, a second one the profiles; parsing allocates nothing. Must not know
//! who reads an option.

mod option;
mod parse;
mod profile;

pub(crate) use option::{Complaint, HugePages, OnError, Options, Prefault, any, read};
pub use option::{OPTIONS, OptionInfo};
pub use profile::{PROFILES, Profile};
