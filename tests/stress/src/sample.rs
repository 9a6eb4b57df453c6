//! The view of a running driver from outside: its status page and the kernel's figures.
//!
//! Knows: the layout of `struct status` in `driver/stress.h`, and files of `/proc`. Must not know: what the figures
//! mean.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

const WORD: usize = 8;
const MAGIC: u64 = 0x5350_414e_4452_4c31;
const SLOT: usize = 64;
const SLOTS: usize = 256;
const KIB: u64 = 1024;

/// One look at a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the scenario began.
    pub seconds: f64,
    /// Bytes that the program asked for and has not freed.
    pub live: u64,
    /// Resident bytes of the process, without those of the checker itself.
    pub resident: u64,
    /// Of these, anonymous memory.
    pub anonymous: u64,
    /// Resident bytes of the checker itself.
    pub own: u64,
    /// Blocks got, resized and freed so far.
    pub operations: u64,
}

/// The figures that the driver keeps of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status {
    /// Bytes of the checker's own.
    pub own: u64,
    /// Whether the scenario is running: neither being set up nor being settled.
    pub running: bool,
    /// As in [`Sample`].
    pub live: u64,
    /// As in [`Sample`].
    pub operations: u64,
}

impl Status {
    /// Reads the page; nothing as long as the driver has not made it.
    ///
    /// # Errors
    /// When there is something else in its place.
    pub fn read(page: &Path) -> Result<Option<Self>> {
        let Ok(bytes) = fs::read(page) else { return Ok(None) };
        if bytes.len() < SLOT + SLOTS * SLOT {
            return Ok(None);
        }
        let word = |at: usize| bytes[at..at + WORD].try_into().map(u64::from_le_bytes).context("a page of half words");
        let magic = word(0)?;
        if magic == 0 {
            return Ok(None);
        }
        ensure!(magic == MAGIC, "{} is not a status page of this version", page.display());
        let mut status = Self { own: word(WORD)?, running: word(2 * WORD)? != 0, ..Self::default() };
        let mut live = 0_i64;
        for slot in 1..=SLOTS {
            live = live.wrapping_add(word(slot * SLOT)?.cast_signed());
            status.operations += word(slot * SLOT + WORD)?;
        }
        // Threads count while the page is read: the sum of a block's two counts may be seen between them.
        status.live = u64::try_from(live).unwrap_or(0);
        Ok(Some(status))
    }
}

/// The bytes behind `name`, which the file gives in kB.
pub fn bytes_of(file: &str, name: &str) -> Option<u64> {
    let line = file.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok().map(|kib: u64| kib * KIB)
}

/// One look at process `id`, if its scenario is running.
///
/// # Errors
/// As [`Status::read`].
pub fn look(id: u32, page: &Path, seconds: f64) -> Result<Option<Sample>> {
    let Some(before) = Status::read(page)?.filter(|status| status.running) else { return Ok(None) };
    let Ok(kernel) = fs::read_to_string(format!("/proc/{id}/status")) else { return Ok(None) };
    let (Some(resident), Some(anonymous)) = (bytes_of(&kernel, "VmRSS:"), bytes_of(&kernel, "RssAnon:")) else {
        return Ok(None);
    };
    let Some(after) = Status::read(page)?.filter(|status| status.running) else { return Ok(None) };
    Ok(Some(Sample {
        seconds,
        // Live bytes between the two looks at them.
        live: u64::midpoint(before.live, after.live),
        resident: resident.saturating_sub(after.own),
        anonymous: anonymous.saturating_sub(after.own),
        own: after.own,
        operations: after.operations,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_figures_are_found_by_name() {
        let file = "VmPeak:\t  20 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 1000 kB\n";
        assert_eq!(bytes_of(file, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(bytes_of(file, "RssAnon:"), Some(1000 * 1024));
        assert_eq!(bytes_of(file, "VmSwap:"), None);
    }

    /// A page with these words at these places.
    fn page(words: &[(usize, u64)]) -> Vec<u8> {
        let mut bytes = vec![0_u8; SLOT + SLOTS * SLOT];
        for (at, value) in words {
            bytes[*at..at + WORD].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn no_sample_is_taken_before_the_time_of_the_scenario_begins() {
        let path = std::env::temp_dir().join(format!("spandrel-stress-set-up-{}", std::process::id()));
        let seen = |running: u64| {
            fs::write(&path, page(&[(0, MAGIC), (2 * WORD, running), (SLOT, 1000)])).unwrap();
            look(std::process::id(), &path, 3.0).unwrap()
        };
        assert_eq!(seen(0), None);
        assert_eq!(seen(1).map(|sample| (sample.seconds, sample.live)), Some((3.0, 1000)));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_page_is_read_as_the_driver_writes_it() {
        let path = std::env::temp_dir().join(format!("spandrel-stress-page-{}", std::process::id()));
        // One worker freed what another got.
        let freed = (-400_i64).cast_unsigned();
        let slots = [(SLOT, 1000), (SLOT + WORD, 3), (5 * SLOT, freed), (5 * SLOT + WORD, 1)];
        let bytes = page(&[&[(0, MAGIC), (WORD, 4096), (2 * WORD, 1)], &slots[..]].concat());
        fs::write(&path, &bytes).unwrap();
        let status = Status::read(&path).unwrap().unwrap();
        assert_eq!((status.own, status.running, status.live, status.operations), (4096, true, 600, 4));
        fs::write(&path, vec![7_u8; bytes.len()]).unwrap();
        assert!(Status::read(&path).is_err());
        fs::remove_file(&path).unwrap();
        assert!(Status::read(&path).unwrap().is_none());
    }
}
