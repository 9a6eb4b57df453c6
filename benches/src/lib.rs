//! Counts what Spandrel's flows cost, and compares it with what is recorded.
//!
//! Knows: the parts of the two programs here. Must not know: the allocator, which is looked into from outside.

pub mod ask;
pub mod bench;
pub mod callgrind;
pub mod cases;
pub mod evidence;
pub mod listing;
pub mod numa;

/// What the line begins with that says a flow is over its budget.
pub const CODE: &str = "ALLOCATOR_FAST_PATH_BUDGET";

#[cfg(test)]
mod tests {
    #[test]
    fn the_code_is_a_documented_one() {
        let heading = format!("\n## `{}`\n", super::CODE);
        assert!(include_str!("../../docs/diagnostics.md").contains(&heading));
    }
}
