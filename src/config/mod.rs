//! Layer 2: options. One table holds name, kind, default and help; parsing allocates nothing. Must not know who reads an option.

mod option;
mod parse;

pub use option::{OPTIONS, OptionInfo};
pub(crate) use option::{OnError, Options, any, read};
