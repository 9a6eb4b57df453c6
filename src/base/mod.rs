//! Units, size classes, random numbers and text. Knows arithmetic; must not know the operating system.

pub(crate) mod class;
pub(crate) mod lane;
pub(crate) mod page;
pub(crate) mod random;
pub(crate) mod start;
pub(crate) mod text;
pub(crate) mod units;
