#![expect(unsafe_code, reason = "calls malloc_trim")]
//! One run of an adversary in this process, which has the allocator preloaded: live bytes and resident memory after each
//! tick, while it works, while it is quiet, and after a trim.
//!
//! Knows: when memory is measured. Must not know: what the adversary does.

use super::adversaries::{Adversary, Frame};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

pub(crate) const STATUS: &str = "/proc/self/status";
/// Most trims: one of Spandrel's ends after a tenth of a second, and the next one goes on; one of glibc's always says
/// that it gave something back.
const TRIMS: usize = 10;
/// The adversary is quiet for so many times as long as it works.
const QUIET: usize = 2;

/// How long a run takes and how much memory it uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Bytes of a peak.
    pub(crate) most: usize,
    /// Ticks in which the adversary works.
    pub(crate) ticks: usize,
    /// Milliseconds of a tick.
    pub(crate) pace: u64,
}

/// A moment: seconds since the start, if no tick took longer than it should; live bytes, resident KiB.
pub(super) type Moment = (f64, usize, usize);

/// The output of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Course {
    /// Moments while the adversary worked; the rest it was quiet.
    pub(super) working: usize,
    /// Before the first tick, in KiB.
    pub(super) base: usize,
    pub(super) moments: Vec<Moment>,
    /// After a trim, in KiB.
    pub(super) trimmed: usize,
    /// Milliseconds of the longest trim.
    pub(super) longest: f64,
}

/// Runs `adversary` and prints its [`Course`].
pub(super) fn run(adversary: &Adversary, extent: Extent) -> Result<()> {
    let status = File::open(STATUS).context(STATUS)?;
    let ticks = extent.ticks * (1 + QUIET);
    let mut moments = Vec::with_capacity(ticks);
    let base = resident(&status)?;
    let pace = Duration::from_millis(extent.pace);
    let mut work = adversary.begin(Frame { most: extent.most, ticks: extent.ticks });
    for tick in 0..ticks {
        let begun = Instant::now();
        if tick < extent.ticks {
            work.step(tick);
        } else {
            // A quiet process calls now and then.
            drop(std::hint::black_box(Box::new([0_u8; 100])));
        }
        moments.push((pace.as_secs_f64() * (tick + 1) as f64, work.live(), resident(&status)?));
        std::thread::sleep(pace.saturating_sub(begun.elapsed()));
    }
    let mut longest = 0.0_f64;
    for _ in 0..TRIMS {
        let (milliseconds, gone) = trim();
        longest = longest.max(milliseconds);
        if !gone {
            break;
        }
    }
    let trimmed = resident(&status)?;
    println!("{}", serde_json::to_string(&Course { working: extent.ticks, base, moments, trimmed, longest })?);
    drop(work);
    Ok(())
}

/// Calls `malloc_trim(0)`; milliseconds that it took, and whether it gave anything back.
fn trim() -> (f64, bool) {
    let begun = Instant::now();
    // SAFETY: any thread may call it at any time.
    let gone = unsafe { libc::malloc_trim(0) } != 0;
    (begun.elapsed().as_secs_f64() * 1e3, gone)
}

/// Resident KiB of this process. Allocates nothing.
pub(crate) fn resident(status: &File) -> Result<usize> {
    const NAME: &[u8] = b"VmRSS:";
    let mut text = [0; 4096];
    let len = status.read_at(&mut text, 0).context(STATUS)?;
    let text = text.get(..len).unwrap_or(&[]);
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(NAME)).context("no VmRSS")?;
    Ok(line.iter().filter(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}
