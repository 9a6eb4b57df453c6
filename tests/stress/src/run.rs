//! One run of one scenario: starts the driver under the preload, looks at it until it ends, and says what came of it.
//!
//! Knows: processes. Must not know: which runs are made, or what they are for.

use crate::judge::{self, Failure, Peaks};
use crate::program;
use crate::sample::{self, Sample};
use crate::scenario::{Profile, Proof, Scenario, case_name};
use anyhow::{Context, Result};
use harness::{paths, run as process};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Looks at a run, about.
const LOOKS: f64 = 300.0;
const SHORTEST_PAUSE: f64 = 0.004;
const LONGEST_PAUSE: f64 = 1.0;
/// A run that takes so much longer than asked for hangs; a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what only some scenarios have to show, in looks.
const PROOF_EVERY: usize = 8;

/// A run to make.
#[derive(Clone, Debug)]
pub struct Order {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// The profile it runs in.
    pub profile: Profile,
    /// How long, without set-up and settling.
    pub seconds: f64,
    /// Seed of all its random numbers.
    pub seed: u64,
    /// Further options of the allocator, each `NAME=VALUE`, which win over those of scenario and profile.
    pub options: Vec<String>,
    /// Preloaded before the library: allocators that are wrong on purpose.
    pub before: Option<PathBuf>,
}

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing was found.
    Passed,
    /// Something was.
    Failed(Failure),
    /// The machine cannot.
    Skipped(String),
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Done {
    /// The order that it carried out.
    pub order: Order,
    /// The samples that were taken of it.
    pub samples: Vec<Sample>,
    /// Its outcome.
    pub outcome: Outcome,
}

impl Order {
    /// `scenario.profile`.
    pub fn name(&self) -> String {
        case_name(self.scenario, self.profile)
    }

    /// The command that repeats it.
    pub fn again(&self) -> String {
        format!(
            "cargo run --release -p spandrel-stress -- run --scenario {} --profile {} --seconds {} --seed {}",
            self.scenario.name,
            self.profile.name(),
            self.seconds,
            self.seed
        ) + &self.options.iter().map(|option| format!(" --option {option}")).collect::<String>()
    }

    fn command(&self, page: &Path) -> Result<Command> {
        let library = paths::shared_library().map_err(anyhow::Error::msg)?;
        let driver = program::driver()?;
        let mut command = match self.scenario.address_space {
            Some(kib) => {
                let mut shell = process::command("sh");
                shell.args(["-c", "ulimit -v \"$0\" && exec \"$@\""]).arg(kib.to_string()).arg(driver);
                shell
            }
            None => process::command(driver),
        };
        let mut preload = self.before.clone().unwrap_or_default().into_os_string();
        if self.before.is_some() {
            preload.push(":");
        }
        preload.push(library);
        command.arg(self.scenario.body).arg(self.seconds.to_string()).arg(self.seed.to_string()).arg(page);
        command.env("STRESS_PLUGIN", program::plugin()?).env("STRESS_TOOL", paths::tool().unwrap_or_default());
        command.env("LD_PRELOAD", preload).envs(self.scenario.options(self.profile));
        command.envs(self.options.iter().filter_map(|option| option.split_once('=')));
        Ok(command)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, which says nothing about the allocator.
    pub fn run(&self) -> Result<Done> {
        if let Some(obstacle) = self.scenario.obstacle() {
            return Ok(Done { order: self.clone(), samples: Vec::new(), outcome: Outcome::Skipped(obstacle) });
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stem = program::folder()?.join(format!("{}-{number}", std::process::id()));
        let (page, errors) = (stem.with_extension("status"), stem.with_extension("err"));
        let mut command = self.command(&page)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors)?).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let watched = self.watch(&mut child, &page);
        // Children of a driver that failed are ended with it; there are none after one that did not.
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::KILL,
        );
        let said = String::from_utf8_lossy(&fs::read(&errors)?).into_owned();
        for file in [&page, &errors] {
            // A leftover would only take space.
            let _ = fs::remove_file(file);
        }
        let watched = watched?;
        let outcome = self.judge(&watched, &said).map_or(Outcome::Passed, Outcome::Failed);
        Ok(Done { order: self.clone(), samples: watched.samples, outcome })
    }

    /// Looks at the driver until it ends or its time is over.
    fn watch(&self, child: &mut Child, page: &Path) -> Result<Watched> {
        let pause = Duration::from_secs_f64((self.seconds / LOOKS).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        let limit = Duration::from_secs_f64(self.seconds) + PATIENCE;
        let start = Instant::now();
        let mut watched = Watched::default();
        let mut began = None;
        loop {
            watched.end = child.try_wait()?;
            if watched.end.is_some() {
                return Ok(watched);
            }
            if start.elapsed() > limit {
                child.kill()?;
                child.wait()?;
                return Ok(watched);
            }
            let now = Instant::now();
            let seconds = now.duration_since(began.unwrap_or(now)).as_secs_f64();
            if let Some(sample) = sample::look(child.id(), page, seconds)? {
                began.get_or_insert(now);
                if watched.samples.len().is_multiple_of(PROOF_EVERY) && !watched.proved {
                    watched.proved = self.scenario.proof.is_none_or(|proof| proves(proof, child.id()));
                }
                watched.samples.push(sample);
            }
            thread::sleep(pause);
        }
    }

    fn judge(&self, watched: &Watched, stderr: &str) -> Option<Failure> {
        if let Some(failure) = judge::said(stderr, self.scenario.codes) {
            return Some(failure);
        }
        match watched.end {
            None => return Some(Failure::new("hang", format!("not over {PATIENCE:?} after its time"))),
            Some(end) if !end.success() => {
                let kind = if end.signal().is_some() { "signal" } else { "status" };
                let last = stderr.lines().last().unwrap_or("it said nothing");
                return Some(Failure::new(kind, format!("ended with {end}: {last}")));
            }
            Some(_) => {}
        }
        if !watched.proved && !watched.samples.is_empty() {
            return Some(Failure::new("proof", format!("{:?} was not seen from outside", self.scenario.proof)));
        }
        match self.scenario.bound {
            Some(bound) => judge::excess(&watched.samples, bound),
            None => judge::growth(&watched.samples),
        }
    }
}

/// The observations of a run.
#[derive(Debug, Default)]
struct Watched {
    samples: Vec<Sample>,
    /// None if it had to be ended.
    end: Option<ExitStatus>,
    proved: bool,
}

fn proves(proof: Proof, id: u32) -> bool {
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
    match proof {
        Proof::HugePages => {
            let rollup = read("smaps_rollup");
            ["AnonHugePages:", "Private_Hugetlb:"]
                .iter()
                .any(|name| sample::bytes_of(&rollup, name).is_some_and(|bytes| bytes > 0))
        }
        Proof::NodePolicy(policy) => read("numa_maps").lines().any(|line| {
            let mut words = line.split_whitespace();
            words.nth(1).is_some_and(|word| word.split([':', '=']).next() == Some(policy))
                && words.any(|word| word.starts_with("anon="))
        }),
    }
}

impl Done {
    /// Blocks got, resized and freed.
    pub fn operations(&self) -> u64 {
        self.samples.last().map_or(0, |sample| sample.operations)
    }

    /// The most that was live and resident.
    pub fn peaks(&self) -> Peaks {
        Peaks::of(&self.samples)
    }
}
