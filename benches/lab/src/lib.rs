//! The lab: Spandrel beside other allocators on the same work, with figures, tables and pictures.
//!
//! Knows: which allocators and which work there are, how runs are repeated, what a loss is. Must not know: how any
//! allocator or workload works inside.

pub mod allocators;
pub mod attacks;
pub mod bench;
pub mod causes;
pub mod command;
pub mod continued;
pub mod figures;
pub mod latency;
pub mod losses;
pub mod machine;
pub mod order;
pub mod plot;
pub mod publish;
pub mod report;
pub mod results;
pub mod schedule;
pub mod security;
pub mod table;
pub mod targets;
pub mod work;
