//! Why Spandrel loses where it does: a checked-in file, read next to the results.
//!
//! Knows: the form of `benches/causes.toml`. Must not know: which losses there are.

use crate::table::Measure;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Stands where no cause is written down.
pub const UNKNOWN: &str = "no cause is known yet";

/// Words for a loss that may be none; the lab tells by the runs whether it is one.
const NO_CAUSE: [&str; 2] = ["noise", "noisy"];

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
    /// When it is not of its form, or blames the noise.
    pub fn parse(text: &str) -> Result<Self> {
        let causes: Self = toml::from_str(text)?;
        let texts = causes.0.iter().flat_map(|(row, cause)| {
            [&cause.time, &cause.memory].into_iter().flatten().map(move |text| (row, text.to_lowercase()))
        });
        for (row, text) in texts {
            if NO_CAUSE.iter().any(|word| text.contains(word)) {
                bail!("{row}: noise is no cause; leave the line out until one is known");
            }
        }
        Ok(causes)
    }

    /// The cause of a loss, if one is written down.
    #[must_use]
    pub fn known(&self, workload: &str, measure: Measure) -> Option<&str> {
        self.0.get(workload).and_then(|cause| match measure {
            Measure::Peak => cause.memory.as_deref(),
            Measure::Cpu | Measure::Wall | Measure::Faults => cause.time.as_deref(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_by_workload_and_measure() {
        let causes = Causes::parse("[larson]\ntime = \"locks\"\n").unwrap();
        assert_eq!(causes.known("larson", Measure::Cpu), Some("locks"));
        assert_eq!(causes.known("larson", Measure::Peak), None);
        assert_eq!(causes.known("other", Measure::Cpu), None);
    }

    #[test]
    fn a_misspelt_measure_is_refused() {
        assert!(Causes::parse("[larson]\ntimes = \"locks\"\n").is_err());
    }

    #[test]
    fn noise_is_no_cause() {
        let error = Causes::parse("[larson]\nmemory = \"within the noise of most runs\"\n").unwrap_err();
        assert!(error.to_string().contains("larson"), "{error}");
    }

    #[test]
    fn the_file_of_this_repository_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causes.toml");
        Causes::read(&path).unwrap();
    }
}
