//! Why Spandrel loses where it does: a checked-in file, read next to the results.
//!
//! Knows: the form of `benches/causes.toml`. Must not know: which losses there are.

use crate::table::Measure;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Stands where no cause is written down.
pub const UNKNOWN: &str = "cause not yet known";

/// Causes by workload.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Causes(BTreeMap<String, Cause>);

/// Causes of one workload.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cause {
    time: Option<String>,
    memory: Option<String>,
}

impl Causes {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is not there or not of its form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} cannot be understood", path.display()))
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// When it is not of its form.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// The cause of a loss.
    #[must_use]
    pub fn of(&self, workload: &str, measure: Measure) -> &str {
        let known = self.0.get(workload).and_then(|cause| match measure {
            Measure::Peak => cause.memory.as_deref(),
            Measure::Cpu | Measure::Wall | Measure::Faults => cause.time.as_deref(),
        });
        known.unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_by_workload_and_measure() {
        let causes = Causes::parse("[larson]\ntime = \"locks\"\n").unwrap();
        assert_eq!(causes.of("larson", Measure::Cpu), "locks");
        assert_eq!(causes.of("larson", Measure::Peak), UNKNOWN);
        assert_eq!(causes.of("other", Measure::Cpu), UNKNOWN);
    }

    #[test]
    fn a_misspelt_measure_is_refused() {
        assert!(Causes::parse("[larson]\ntimes = \"locks\"\n").is_err());
    }

    #[test]
    fn the_file_of_this_repository_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causes.toml");
        Causes::read(&path).unwrap();
    }
}
