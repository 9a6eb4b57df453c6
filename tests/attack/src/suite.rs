//! Runs rows under an allocator, some at once.
//!
//! Knows: that rows do not disturb one another. Must not know: what is done with their verdicts.

use crate::allocators::Allocator;
use crate::attack::{self, Verdict};
use crate::program::{self, Row};
use anyhow::{Result, anyhow};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How a suite is run.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// How often each row is run; the worst verdict counts.
    pub runs: usize,
    /// Rows that were caught are run without their misuse as well: an allocator that dies then, too, is broken.
    pub calm: bool,
    /// Processes at once.
    pub jobs: usize,
}

/// Processes at once, unless someone asks for more.
pub const JOBS: usize = 2;

/// The verdict of each row under the allocator.
///
/// # Errors
/// When the driver cannot be built or started.
pub fn run(allocator: &Allocator, rows: &[Row], way: Way) -> Result<Vec<Verdict>> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let driver = program::driver()?;
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(vec![Verdict::Broken; rows.len()]);
    let work = || -> Result<()> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let scratch = program::folder()?.join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = rows.get(at) else { break };
            let mut worst = Verdict::AtTheCall;
            for _ in 0..way.runs {
                worst = worst.max(attack::run(&driver, allocator, row, false, &scratch)?);
            }
            let is_caught = matches!(worst, Verdict::AtTheCall | Verdict::Later);
            if way.calm && is_caught && attack::run(&driver, allocator, row, true, &scratch)? == Verdict::Broken {
                worst = Verdict::Broken;
            }
            verdicts.lock().unwrap_or_else(PoisonError::into_inner)[at] = worst;
        }
        Ok(fs::remove_dir_all(&scratch)?)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..way.jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker ended"))?)
    })?;
    Ok(verdicts.into_inner().unwrap_or_else(PoisonError::into_inner))
}
