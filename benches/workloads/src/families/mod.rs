//! The workloads, one file per family. Each is written from the published description of the program it is named after.

pub(crate) mod aligned;
pub(crate) mod burst;
pub(crate) mod cache;
pub(crate) mod containers;
pub(crate) mod freelist;
pub(crate) mod glibc;
pub(crate) mod growing;
pub(crate) mod growth;
pub(crate) mod idle;
pub(crate) mod large;
pub(crate) mod larson;
pub(crate) mod latency;
pub(crate) mod many;
pub(crate) mod mixed;
pub(crate) mod mstress;
pub(crate) mod pair;
pub(crate) mod rptest;
pub(crate) mod soak;
pub(crate) mod tree;
pub(crate) mod xmalloc;
