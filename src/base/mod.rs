//! Layer 0: units, size classes, bits and text. Knows arithmetic; must not know the operating system.

pub(crate) mod class;
pub(crate) mod lane;
pub(crate) mod page;
pub(crate) mod random;
pub(crate) mod text;
pub(crate) mod units;
