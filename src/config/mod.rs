//! Options. One table holds name, kind, default and help, a second one the profiles; parsing allocates nothing. Must
//! not know what an option does.

mod account;
mod container;
mod option;
mod parse;
mod profile;
mod value;

pub(crate) use account::{Account, Rule};
pub(crate) use container::{memory_limit, processors};
pub(crate) use option::{Complaint, Options, PREFIX, any, is_limit, read};
pub use option::{OPTIONS, OptionInfo};
pub(crate) use parse::number;
pub use profile::{PROFILES, PROMISES, Profile};
pub(crate) use value::{
    CacheBytes, FRAMES_MAX, GuardedSide, HugePages, IdleReturn, Limit, ModeName, Numa, OnError, Path, Prefault,
    SpreadSpans,
};
