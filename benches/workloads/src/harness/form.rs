//! In which form a workload runs.
//!
//! Invariants: the scale changes the amount of work alone, never sizes, live sets or numbers of threads.

/// Scale and seed of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Factor on the amount of work; above 0.
    pub(crate) scale: f64,
    /// Seed of all random choices.
    pub(crate) seed: u64,
}

impl Form {
    /// `full` units of work, scaled; at least one.
    pub(crate) fn count(&self, full: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_scaled_and_never_nothing() {
        let form = Form { scale: 0.25, seed: 0 };
        assert_eq!(form.count(1000), 250);
        assert_eq!(form.count(1), 1);
    }
}
