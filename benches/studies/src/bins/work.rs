//! Runs the lab's workloads under a library and says what they used.

use super::Setting;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spandrel_xtask::repo;
use spandrel_xtask::run::{End, Launcher, Outcome, Task};
use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// Names and scales: long enough to reach a steady state.
pub(super) const WORKLOADS: [(&str, f64); 9] = [
    ("random-mixed-8192", 0.3),
    ("freelist-random", 0.5),
    ("larson", 0.4),
    ("sh8bench", 0.3),
    ("xmalloc", 0.4),
    ("mstress", 0.3),
    ("rptest", 0.4),
    ("many-threads-64", 0.2),
    ("soak", 0.2),
];
const LIMIT: Duration = Duration::from_secs(120);
const MILLIS: f64 = 1e3;
const KIB: f64 = 1024.0;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) cpu_ms: f64,
    /// The peak, or the mean of a series.
    pub(super) mib: f64,
}

/// The figures read from a workload's line.
#[derive(Debug, Deserialize)]
struct Line {
    checksum: u64,
    #[serde(default)]
    series: Vec<[u64; 3]>,
}

/// Launcher and program.
#[derive(Debug)]
pub(super) struct Bench {
    launcher: Launcher,
    program: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    pub(super) fn new() -> Result<Self> {
        let scratch = repo::target(&repo::root()?).join("studies/runs");
        let program = env::current_exe()?.with_file_name("spandrel-workload");
        if !program.is_file() {
            bail!("{} is not there: use `make study`", program.display());
        }
        Ok(Self { launcher: Launcher::new(&scratch)?, program, scratch })
    }

    /// All settings on all workloads, `runs` times in turn: setting, workload, run.
    pub(super) fn interleave(&self, settings: &[Setting], runs: usize) -> Result<Vec<Vec<Vec<Sample>>>> {
        let mut samples = vec![vec![Vec::new(); WORKLOADS.len()]; settings.len()];
        for _ in 0..runs {
            for (column, (name, scale)) in WORKLOADS.iter().enumerate() {
                let mut checksum = None;
                for (row, setting) in settings.iter().enumerate() {
                    let (sample, found) = self.run(setting, name, *scale)?;
                    if *checksum.get_or_insert(found) != found {
                        bail!("{name}: another checksum with {}", setting.name);
                    }
                    samples[row][column].push(sample);
                }
            }
        }
        Ok(samples)
    }

    fn run(&self, setting: &Setting, name: &str, scale: f64) -> Result<(Sample, u64)> {
        let task = Task {
            program: self.program.clone(),
            arguments: ["run", name, "--scale", &scale.to_string()].map(str::to_owned).to_vec(),
            dir: self.scratch.clone(),
            environment: setting.environment.clone(),
            input: None,
            limit: LIMIT,
        };
        let outcome = self.launcher.run(&task, Some(&setting.library))?;
        let Outcome { end: End::Code(0), usage, stdout, stderr } = outcome else {
            bail!("{name} with {} ended with {:?}", setting.name, outcome.end);
        };
        if !stderr.is_empty() {
            bail!("{name} with {}: {}", setting.name, String::from_utf8_lossy(&stderr));
        }
        let line: Line = serde_json::from_slice(&stdout).with_context(|| format!("{name} printed no line"))?;
        let mean = line.series.iter().map(|sample| sample[1] as f64).sum::<f64>() / line.series.len().max(1) as f64;
        let kib = if line.series.is_empty() { usage.peak_kib } else { mean };
        Ok((Sample { cpu_ms: usage.cpu * MILLIS, mib: kib / KIB }, line.checksum))
    }
}
