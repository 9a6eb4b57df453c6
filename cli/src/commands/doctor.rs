//! `spandrel doctor`: whether Spandrel serves a process, or would serve a program, and why not; the kernel's settings
//! that matter to it; what it advises.

use crate::checkup::{self, Finding, Verdict};
use crate::{kernel, output};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use std::ffi::OsString;

/// The process or the program to check.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// A process (default: only the settings of this machine)
    pid: Option<u32>,
    /// A program and its arguments, after `--`; the program is checked and not started
    #[arg(last = true, conflicts_with = "pid", value_hint = ValueHint::CommandWithArguments)]
    program: Vec<OsString>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what was found.
///
/// # Errors
/// Where there is no such process or program, and, once everything is printed, where Spandrel does not serve it.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let mut findings = match (request.pid, request.program.first()) {
        (Some(pid), _) => checkup::process(pid)?,
        (None, Some(program)) => checkup::program(program).with_context(|| program.display().to_string())?,
        (None, None) => Vec::new(),
    };
    findings.extend(kernel::settings(request.pid));
    if request.json {
        output::json(&findings.iter().map(value).collect::<Value>())?;
    } else {
        findings.iter().for_each(print);
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Inactive) {
        bail!("not active");
    }
    Ok(())
}

fn value(finding: &Finding) -> Value {
    json!({ "about": finding.about, "verdict": finding.verdict.name(), "text": finding.text, "advice": finding.advice })
}

fn print(finding: &Finding) {
    println!("{:<8} {:<16} {}", finding.verdict.name(), finding.about, finding.text);
    if let Some(advice) = &finding.advice {
        println!("{:<8} {:<16} {advice}", "", "->");
    }
}
