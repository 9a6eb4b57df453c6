//! Stable codes, and reports of one line with a call stack. Knows how a report reads; must not know what failed.

mod call;
mod code;
mod report;
mod stack;

pub(crate) use call::{Family, is_call, trace};
pub use code::{CODES, Code, CodeInfo};
pub use report::Policy;
pub(crate) use report::{
    Misuse, described, fatal, line, misuse, misuse_found_later, misuse_told, misuse_with, once, once_described,
    set_policy, was_said,
};
pub(crate) use stack::{print_frames, set_stacks};
