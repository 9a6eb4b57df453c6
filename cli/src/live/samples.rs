//! The heap profile that a process keeps of itself, read from outside while the process goes on. The process does nothing
//! for it and gets no request, so a stopped one can be read as well.
//!
//! Must not know: names of functions, formats of profiles.

use super::limits::{CODE_MAX, FIGURE_MAX, FRAMES_MAX, NAME_MAX, RECORD_MAX, STACKS_MAX};
use super::process::{Mapping, Process};
use super::words::{name, word};
use anyhow::{Result, ensure};
use spandrel::descriptor::Descriptor;
use std::collections::HashSet;

const WORD: usize = size_of::<usize>();
/// Words of totals in a record, and the place of the epoch among them.
const TOTALS: usize = 7;
const EPOCH: usize = 6;

/// A call stack, the innermost frame first, the name of the named heap that its thread used, and objects and bytes that it asked for, that are live, and that were live
/// at the peak.
pub(crate) struct Sampled {
    pub(crate) frames: Vec<usize>,
    pub(crate) heap: Option<String>,
    pub(crate) values: [i64; 6],
}

/// See the module.
pub(crate) struct Samples {
    /// Bytes between samples, on average.
    pub(crate) mean: usize,
    /// When samples were first taken, in nanoseconds since 1970.
    pub(crate) since: usize,
    pub(crate) stacks: Vec<Sampled>,
    /// The files with code, by address.
    pub(crate) code: Vec<Mapping>,
}

/// Whether the process can have a heap profile at all.
pub(super) fn can_be(d: &Descriptor) -> bool {
    d.samples.on != 0
}

/// Whether the process takes samples now.
pub(super) fn are_taken(process: &Process, d: &Descriptor) -> Result<bool> {
    let mut switch = [0];
    if can_be(d) {
        process.read(d.samples.on, &mut switch)?;
    }
    Ok(switch != [0])
}

/// Reads them; `None` where none are taken.
pub(super) fn read(process: &Process, d: &Descriptor) -> Result<Option<Samples>> {
    if !are_taken(process, d)? {
        return Ok(None);
    }
    let s = &d.samples;
    let ends = [(s.older, 1), (s.totals, TOTALS), (s.frames, 2), (s.heap, 1)]
        .map(|(at, words)| at.saturating_add(words * WORD));
    let bytes = ends.into_iter().max().unwrap_or(0);
    ensure!(bytes <= RECORD_MAX, "process {}: {bytes} bytes are no record of a stack", process.id());
    let (mean, since, epoch) = (process.word(s.mean)?, process.word(s.since)?, process.word(s.peak_epoch)?);
    let (mut stacks, mut seen) = (Vec::new(), HashSet::new());
    let mut next = process.word(s.newest)?;
    // A list that leads back to itself has an end, too.
    while next != 0 && stacks.len() < STACKS_MAX && seen.insert(next) {
        let record = process.bytes(next, bytes)?;
        next = word(&record, s.older);
        let total = |index: usize| word(&record, s.totals + index * WORD);
        let objects = |index: usize| shown(total(index).div_ceil(s.parts.max(1)));
        let of = |index: usize| [objects(index), shown(total(index + 1))];
        let peak = if total(EPOCH) == epoch { of(4) } else { of(2) };
        let ([asked, asked_bytes], [live, live_bytes]) = (of(0), of(2));
        let [first, count] = [0, WORD].map(|at| word(&record, s.frames + at));
        let frames = process.bytes(first, count.min(FRAMES_MAX) * WORD)?;
        let heap = match word(&record, s.heap) {
            0 => None,
            address => Some(name(&process.bytes(address, NAME_MAX)?)),
        };
        stacks.push(Sampled {
            frames: frames.chunks_exact(WORD).map(|frame| word(frame, 0)).collect(),
            heap,
            values: [asked, asked_bytes, live, live_bytes, peak[0], peak[1]],
        });
    }
    let code = process.mappings()?.into_iter().filter(|mapping| mapping.executable).take(CODE_MAX).collect();
    Ok(Some(Samples { mean, since, stacks, code }))
}

fn shown(figure: usize) -> i64 {
    figure.min(FIGURE_MAX) as i64
}
