//! The workloads, one file per family. Each is written from the published description of the program it is named after.

pub(crate) mod freelist;
pub(crate) mod larson;
pub(crate) mod mixed;
pub(crate) mod mstress;
pub(crate) mod xmalloc;
