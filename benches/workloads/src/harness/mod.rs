//! What all workloads share. None of it allocates while a workload runs, unless it says so.

pub(crate) mod account;
pub(crate) mod block;
pub(crate) mod crew;
pub(crate) mod fail;
pub(crate) mod form;
pub(crate) mod rng;
pub(crate) mod table;
pub(crate) mod words;
