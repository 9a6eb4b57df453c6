//! The runs of one program: warm-up, interleaved repetitions, comparison.
//!
//! Knows: how to carry out the steps of a description. Must not know: tables.
//! Invariants: every run starts in a fresh directory of the same name with the same inputs; servers never outlive their
//! step.

use super::diag::{self, Served};
use super::program::{Client, Program, Step};
use crate::repo;
use crate::run::{End, Launcher, Outcome, Running, Task, Usage};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
const CLIENT_SECONDS: &str = "100";
const READY_LIMIT: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(10);

/// The set-up that running one program needs.
#[derive(Debug)]
pub struct Session<'a> {
    /// The program.
    pub program: &'a Program,
    /// Starts its commands.
    pub launcher: &'a Launcher,
    /// Its working directory, emptied before each run.
    pub dir: &'a Path,
}

/// One run of all steps.
#[derive(Debug, Default)]
pub struct Run {
    /// The usage of the measured steps: times and counters add up, the largest peak counts.
    pub usage: Usage,
    /// The output of the program, or that of the clients of a server.
    pub output: String,
    /// The result files.
    pub results: Vec<Vec<u8>>,
    complaints: String,
}

/// All runs of one program.
#[derive(Debug, Default)]
pub struct Comparison {
    /// CPU seconds of each run alone.
    pub cpu_alone: Vec<f64>,
    /// CPU seconds of each run with the preload.
    pub cpu_preloaded: Vec<f64>,
    /// Peak KiB of each run alone.
    pub peak_alone: Vec<f64>,
    /// Peak KiB of each run with the preload.
    pub peak_preloaded: Vec<f64>,
    /// The calls that the preload served, where it printed its report.
    pub served: Option<Served>,
    /// The first difference found.
    pub difference: Option<String>,
}

impl Session<'_> {
    /// A warm-up of each kind, the preloaded one with its report, then `repetitions` pairs in alternating order.
    ///
    /// # Errors
    /// When a step fails.
    pub fn compare(&self, library: &Path, repetitions: usize) -> Result<Comparison> {
        let reference = self.run(None, &[]).context("without the preload")?;
        let report = [("SPANDREL_DIAG".to_owned(), "1".to_owned())];
        let reported = self.run(Some(library), &report).context("with the preload")?;
        let mut comparison = Comparison { served: diag::served(&reported.complaints), ..Comparison::default() };
        comparison.difference = difference(&reference, &reported);
        for round in 0..repetitions {
            let first_preloaded = round % 2 == 1;
            for preloaded in [first_preloaded, !first_preloaded] {
                let context = if preloaded { "with the preload" } else { "without the preload" };
                let run = self.run(preloaded.then_some(library), &[]).context(context)?;
                let found = difference(&reference, &run).map(|text| format!("{context}, run {}: {text}", round + 1));
                comparison.difference = comparison.difference.or(found);
                let (cpu, peak) = if preloaded {
                    (&mut comparison.cpu_preloaded, &mut comparison.peak_preloaded)
                } else {
                    (&mut comparison.cpu_alone, &mut comparison.peak_alone)
                };
                cpu.push(run.usage.cpu);
                peak.push(run.usage.peak_kib);
            }
        }
        let _ = fs::remove_dir_all(self.dir);
        Ok(comparison)
    }

    /// One run of all steps in a fresh directory, with a preload and an environment beyond the program's own.
    ///
    /// # Errors
    /// When a step fails.
    pub fn run(&self, preload: Option<&Path>, environment: &[(String, String)]) -> Result<Run> {
        let _ = fs::remove_dir_all(self.dir);
        fs::create_dir_all(self.dir)?;
        for input in self.program.inputs {
            fs::write(self.dir.join(input.name), input.content.text())?;
        }
        let port = free_port()?;
        let mut run = Run::default();
        for step in self.program.steps {
            let task = |command, input| self.task(command, input, port, environment);
            let (outcome, heard) = match step {
                Step::Prepare(command) => {
                    self.client(&Client::Run(command), port)?;
                    continue;
                }
                Step::Run(command) => (self.launcher.run(&task(command, None)?, preload)?, String::new()),
                Step::Feed(command, input) => {
                    (self.launcher.run(&task(command, Some(input))?, preload)?, String::new())
                }
                Step::Serve(command, clients) => {
                    let running = self.launcher.start(&task(command, None)?, preload)?;
                    self.serve(running, clients, port)?
                }
            };
            run.add(&outcome, &heard, matches!(step, Step::Serve(..)))?;
        }
        for result in self.program.results {
            run.results.push(fs::read(self.dir.join(result)).with_context(|| format!("no result file {result}"))?);
        }
        Ok(run)
    }

    fn task(&self, command: &[&str], input: Option<&str>, port: u16, more: &[(String, String)]) -> Result<Task> {
        let (name, arguments) = filled(command, port)?;
        let own = self.program.environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Ok(Task {
            program: repo::program(&name).with_context(|| format!("{name} is not installed"))?,
            arguments,
            dir: self.dir.to_path_buf(),
            environment: own.chain(more.iter().cloned()).collect(),
            input: input.map(|name| self.dir.join(name)),
            limit: LIMIT,
        })
    }

    /// Lets the clients talk to a started server, then collects the server.
    fn serve(&self, mut running: Running, clients: &[Client], port: u16) -> Result<(Outcome, String)> {
        let talked = wait_until_ready(&mut running, port)
            .and_then(|()| clients.iter().map(|client| self.client(client, port)).collect::<Result<String>>());
        match talked {
            Ok(output) => Ok((running.wait()?, output)),
            Err(error) => Err(error.context(format!("the server said {:?}", last_lines(&running.abandon())))),
        }
    }

    fn client(&self, client: &Client, port: u16) -> Result<String> {
        let (command, input) = match client {
            Client::Code(code) => return code(port),
            Client::Feed(command, input) => (command, Some(*input)),
            Client::Run(command) | Client::Load(command) | Client::Stop(command) => (command, None),
        };
        let (name, arguments) = filled(command, port)?;
        let mut process = Command::new("timeout");
        process.arg(CLIENT_SECONDS).arg(repo::program(&name).with_context(|| format!("{name} is not installed"))?);
        process.args(arguments).current_dir(self.dir).env_remove("LD_PRELOAD").env("LC_ALL", "C.UTF-8");
        process.stdin(match input {
            Some(input) => Stdio::from(File::open(self.dir.join(input))?),
            None => Stdio::null(),
        });
        let output = process.output()?;
        match client {
            Client::Stop(_) => Ok(String::new()),
            _ if !output.status.success() => {
                bail!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
            }
            Client::Load(_) => Ok(String::new()),
            _ => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        }
    }
}

impl Run {
    /// Adds a step. A server's own output is a log, so only what its clients `heard` counts.
    fn add(&mut self, outcome: &Outcome, heard: &str, server: bool) -> Result<()> {
        let complaints = String::from_utf8_lossy(&outcome.stderr);
        if outcome.end != End::Code(0) {
            bail!("ended with {:?}: {}", outcome.end, last_lines(&complaints));
        }
        if let Some(line) = complaints.lines().find(|line| line.starts_with("spandrel: ") && !diag::is_report(line)) {
            bail!("{line}");
        }
        self.usage = self.usage.and(outcome.usage);
        self.complaints.push_str(&complaints);
        self.output.push_str(heard);
        if !server {
            self.output.push_str(&String::from_utf8_lossy(&outcome.stdout));
        }
        Ok(())
    }
}

/// The end of what a program complained about, on one line.
fn last_lines(complaints: &str) -> String {
    let lines: Vec<&str> = complaints.lines().filter(|line| !diag::is_report(line)).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

/// Where two runs differ, if they do.
fn difference(expected: &Run, got: &Run) -> Option<String> {
    if expected.output != got.output {
        let at = expected.output.lines().zip(got.output.lines()).position(|(left, right)| left != right);
        let line = at.unwrap_or_else(|| expected.output.lines().count().min(got.output.lines().count()));
        let show = |run: &Run| run.output.lines().nth(line).unwrap_or("(nothing)").chars().take(80).collect::<String>();
        return Some(format!("output line {}: expected {:?}, got {:?}", line + 1, show(expected), show(got)));
    }
    (expected.results != got.results).then(|| "a result file differs".to_owned())
}

/// The program and the arguments of a command, with the port filled in.
fn filled(command: &[&str], port: u16) -> Result<(String, Vec<String>)> {
    let mut words = command.iter().map(|word| word.replace("{port}", &port.to_string()));
    Ok((words.next().context("empty command")?, words.collect()))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn wait_until_ready(running: &mut Running, port: u16) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if !running.alive() || started.elapsed() > READY_LIMIT {
            bail!("the server does not listen on port {port}");
        }
        thread::sleep(READY_POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_line_is_shown() {
        let run = |output: &str| Run { output: output.to_owned(), ..Run::default() };
        assert_eq!(difference(&run("a\nb\n"), &run("a\nb\n")), None);
        assert!(difference(&run("a\nb\n"), &run("a\nc\n")).unwrap().contains("line 2"));
        assert!(difference(&run("a\nb\n"), &run("a\n")).unwrap().contains("(nothing)"));
    }

    #[test]
    fn result_files_are_compared() {
        let run = |result: &[u8]| Run { results: vec![result.to_vec()], ..Run::default() };
        assert!(difference(&run(b"a"), &run(b"b")).is_some());
        assert!(difference(&run(b"a"), &run(b"a")).is_none());
    }

    #[test]
    fn a_failing_step_and_a_diagnostic_are_errors() {
        let outcome =
            |end, stderr: &str| Outcome { end, usage: Usage::default(), stdout: Vec::new(), stderr: stderr.into() };
        assert!(
            Run::default().add(&outcome(End::Code(0), "spandrel: diag: lane=small calls=1 bytes=1"), "", false).is_ok()
        );
        assert!(Run::default().add(&outcome(End::Code(0), "spandrel: ALLOCATOR_DOUBLE_FREE: x"), "", false).is_err());
        assert!(Run::default().add(&outcome(End::Signal(6), ""), "", false).is_err());
        assert!(Run::default().add(&outcome(End::TimedOut, ""), "", false).is_err());
    }

    #[test]
    fn the_port_is_filled_in() {
        assert_eq!(filled(&["a", "--port={port}"], 7).unwrap(), ("a".to_owned(), vec!["--port=7".to_owned()]));
    }
}
