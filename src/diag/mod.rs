//! Stable codes and one-line reports. Knows how a report reads; must not know what failed.

mod code;
mod report;

pub use code::{CODES, Code, CodeInfo};
pub use report::Policy;
pub(crate) use report::{Misuse, described, fatal, line, misuse, misuse_told, once, set_policy, was_said};
