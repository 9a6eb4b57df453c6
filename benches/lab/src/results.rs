//! The results of a run of the lab: `results.json`.
//!
//! Knows: the schema and its version. Must not know: how anything in it was measured, or what is made of it.
//! Invariants: every counted run is kept as it was measured; medians and the like are computed by who reads it.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Changes when a reader of the old form would misread the new one.
pub const SCHEMA: u32 = 1;

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`] at the time of writing.
    pub schema: u32,
    /// When and how the runs were made.
    pub made: Made,
    /// Where.
    pub machine: Machine,
    /// The columns, in the order of the tables.
    pub allocators: Vec<Allocator>,
    /// The rows, in the order of the tables.
    pub workloads: Vec<Workload>,
    /// Counted runs.
    pub runs: Vec<Run>,
}

/// When and how the runs were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Made {
    /// Date and time (UTC).
    pub date: String,
    /// The commit that Spandrel and the lab were built from, with `+` if files differed from it.
    pub commit: String,
    /// The command line.
    pub command: String,
    /// Orders the runs.
    pub seed: u64,
    /// Which work and which allocators ran.
    #[serde(default)]
    pub form: Form,
    /// Counted runs that each pair was to have.
    pub runs: usize,
    /// The time that was given, in seconds.
    #[serde(default)]
    pub budget: f64,
    /// Amount of work, 1 for the full form.
    pub scale: f64,
    /// How long all of it took, in seconds.
    pub seconds: f64,
    /// Work that was left out, with the reason.
    pub left_out: BTreeMap<String, String>,
}

/// Which work and which allocators ran. Figures are compared with those of the same form alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// All of both, with the full amount of work.
    Full,
    /// The choice of `--quick`.
    Quick,
    /// That of `security`: hardened allocators beside the defaults.
    Security,
    /// A choice of the command line.
    #[default]
    Part,
}

/// Where the runs were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Processors online.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel release.
    pub kernel: String,
    /// Version of glibc.
    pub glibc: String,
    /// Name of the distribution.
    pub system: String,
    /// Setting of transparent huge pages.
    pub huge_pages: String,
    /// Load average before the first run.
    pub load_before: f64,
}

/// One allocator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Allocator {
    /// Short name, as in `--peers`.
    pub name: String,
    /// On which side it stands.
    pub role: Role,
    /// With which others it is compared.
    #[serde(default)]
    pub group: Group,
    /// Where it comes from.
    pub origin: String,
    /// The line that it prints of itself when it is loaded.
    pub version: String,
    /// SHA-256 of the preloaded file; empty where nothing is preloaded.
    pub sha256: String,
    /// Environment it runs with.
    pub environment: Vec<(String, String)>,
    /// Why it did not run; none if it did.
    pub absent: Option<String>,
}

/// On which side an allocator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Spandrel in one of its forms, or a library named on the command line.
    Own,
    /// Another allocator.
    Peer,
    /// The allocator of the system, without a preload. A peer, but no measure of frugality: it trades time for memory.
    System,
}

/// With which others an allocator is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Those that are made for speed and memory.
    #[default]
    Default,
    /// Those that are built or set to find misuse and to resist attacks.
    Hardened,
    /// Spandrel's modes for diagnosis.
    Modes,
}

/// One piece of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    /// Short name, as in `--only`.
    pub name: String,
    /// One line: its work.
    pub summary: String,
    /// The published program it is modelled on; empty for a real program.
    pub field: String,
    /// Threads that allocate; 0 where the program decides.
    pub threads: usize,
    /// Its purpose.
    pub kind: Kind,
}

impl Workload {
    /// True for one written here, false for a real program.
    #[must_use]
    pub fn synthetic(&self) -> bool {
        self.kind != Kind::Program
    }
}

/// The purpose of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Time and peak memory.
    Time,
    /// Memory left after a peak.
    Idle,
    /// Memory over time.
    Soak,
    /// Duration of single calls.
    Latency,
    /// A real program: time and peak memory.
    Program,
}

/// One counted run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Which work.
    pub workload: String,
    /// Under which allocator.
    pub allocator: String,
    /// In which round, from 0.
    pub round: usize,
    /// The error; none if the run succeeded.
    pub failure: Option<String>,
    /// User and system time in seconds.
    pub cpu: f64,
    /// System time alone, in seconds.
    pub system: f64,
    /// Time from start to end in seconds.
    pub wall: f64,
    /// Peak resident memory in KiB.
    pub peak_kib: f64,
    /// Page faults without input.
    pub minor_faults: f64,
    /// Page faults with input.
    pub major_faults: f64,
    /// Context switches.
    pub switches: f64,
    /// The figures that the workload printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

/// The line that a workload prints at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Calls made.
    #[serde(default)]
    pub ops: u64,
    /// The same under every allocator.
    #[serde(default)]
    pub checksum: u64,
    /// Requested bytes live at the peak.
    #[serde(default)]
    pub malloc_peak_live_bytes: u64,
    /// Memory after a peak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// Milliseconds, resident KiB, live KiB; kept for the first counted run only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<[f64; 3]>,
    /// Durations of single calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Calls>,
}

/// Memory after a peak.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// Requested bytes still live.
    pub live_bytes: u64,
    /// Resident at the peak.
    pub rss_kib_at_peak: f64,
    /// Resident after the wait.
    pub rss_kib_after: f64,
    /// Length of the wait.
    pub seconds: f64,
}

/// Durations of single calls, by call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// The smallest difference that the clock can tell.
    #[serde(default)]
    pub resolution_ns: f64,
    /// Of `malloc`.
    pub malloc: Latency,
    /// Of `free`.
    pub free: Latency,
}

/// How long single calls took, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the calls are faster.
    pub p50: f64,
    /// 90 of 100 are.
    #[serde(default)]
    pub p90: f64,
    /// 99 of 100 are.
    pub p99: f64,
    /// 999 of 1000 are.
    #[serde(default)]
    pub p99_9: f64,
    /// 9999 of 10000 are.
    pub p99_99: f64,
    /// The slowest.
    pub max: f64,
    /// Calls timed.
    #[serde(default)]
    pub count: u64,
}

impl Results {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there, not of this form, or of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        let schema = value.get("schema").and_then(serde_json::Value::as_u64);
        if schema != Some(u64::from(SCHEMA)) {
            bail!("{}: schema {schema:?}, this program reads {SCHEMA}", path.display());
        }
        serde_json::from_value(value).with_context(|| format!("{} is not a result of the lab", path.display()))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Allocators that ran, in order.
    pub fn present(&self) -> impl Iterator<Item = &Allocator> {
        self.allocators.iter().filter(|allocator| allocator.absent.is_none())
    }

    /// Names of the peers of the default profile that ran, the system's own allocator among them.
    pub fn peers(&self) -> impl Iterator<Item = &str> {
        let peer = |allocator: &&Allocator| allocator.role != Role::Own && allocator.group == Group::Default;
        self.present().filter(peer).map(|allocator| allocator.name.as_str())
    }

    /// True if this allocator is the system's own.
    #[must_use]
    pub fn is_system(&self, name: &str) -> bool {
        self.allocators.iter().any(|allocator| allocator.name == name && allocator.role == Role::System)
    }

    /// Counted runs of one pair that went well.
    pub fn good<'a>(&'a self, workload: &'a str, allocator: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs
            .iter()
            .filter(move |run| run.workload == workload && run.allocator == allocator && run.failure.is_none())
    }
}
