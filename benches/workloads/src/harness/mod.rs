//! The parts that all workloads share. None of it allocates while a workload runs, unless it says so.

pub(crate) mod account;
pub(crate) mod block;
pub(crate) mod clock;
pub(crate) mod crew;
pub(crate) mod exchange;
pub(crate) mod fail;
pub(crate) mod form;
pub(crate) mod global;
pub(crate) mod histogram;
pub(crate) mod resident;
pub(crate) mod rng;
pub(crate) mod table;
pub(crate) mod words;
