//! `spandrel record`: looks at a process again and again and keeps what it saw, for `spandrel report`.

use crate::live::Subject;
use crate::recording::Recording;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// The process to record, and how often.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The process
    pid: u32,
    /// Seconds to record
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds between two samples
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    every: f64,
    /// The file to write
    #[arg(long, short, default_value = "spandrel.json")]
    output: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    const RANGE: std::ops::RangeInclusive<f64> = 0.01..=86400.0;
    let number = text.parse().ok().filter(|number| RANGE.contains(number));
    number.ok_or_else(|| format!("takes {} to {} seconds", RANGE.start(), RANGE.end()))
}

/// Records until the time is over or the process ends.
///
/// # Errors
/// Where the process cannot be read, or the file not be written.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let subject = Subject::open(request.pid)?;
    let mut recording = Recording::of(&subject);
    let start = Instant::now();
    recording.look(&subject, 0.0)?;
    let mut next = request.every;
    while next <= request.seconds {
        thread::sleep(Duration::from_secs_f64(next).saturating_sub(start.elapsed()));
        if recording.look(&subject, start.elapsed().as_secs_f64()).is_err() {
            break;
        }
        next += request.every;
    }
    recording.save(&request.output)?;
    if request.json {
        let (process, looks) = (recording.title, recording.samples.len());
        return crate::output::json(&json!({ "process": process, "looks": looks, "file": request.output }));
    }
    println!("{} looks at process {}: {}", recording.samples.len(), recording.title, request.output.display());
    Ok(())
}
