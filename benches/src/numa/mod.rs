//! Where pages lie on a machine with two NUMA nodes: what the guest told, what it should have told, and what is recorded of it.
//!
//! Knows: the cases of `benches/numa/nodes.c`. Must not know: how the guest is run.

pub mod console;
pub mod demand;
pub mod record;

/// What the line begins with by which the library says that it will not place pages.
pub const CODE: &str = "ALLOCATOR_NUMA_POLICY";
