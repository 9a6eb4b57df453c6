//! The record of a process: figures over time, and where everything lay at the last look. Kept as JSON.

use crate::live::{self, Picture, Subject};
use crate::view;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use spandrel::table::REGION_BYTES;
use std::fs;
use std::path::Path;

/// Changes whenever older files can no longer be read.
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recording {
    version: u32,
    /// The process, by number and name.
    pub(crate) title: String,
    /// The profile that it runs in.
    pub(crate) profile: String,
    /// The oldest first.
    pub(crate) samples: Vec<Sample>,
    /// Bytes of a region.
    pub(crate) region_bytes: usize,
    /// The contents of the regions at the last look, in order of region.
    pub(crate) pieces: Vec<Piece>,
    /// Classes at the last look, those with most bytes first.
    pub(crate) classes: Vec<ClassUse>,
}

/// Figures of one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds since the first one.
    pub(crate) seconds: f64,
    pub(crate) resident: u64,
    pub(crate) live: u64,
    pub(crate) obtained: u64,
    pub(crate) binned: u64,
    pub(crate) cached: u64,
    pub(crate) dirty: u64,
    pub(crate) purged: u64,
    pub(crate) metadata: u64,
}

/// A stretch of regions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) region: usize,
    pub(crate) regions: usize,
    pub(crate) kind: Kind,
}

/// The kind of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A span of blocks of so many bytes, of which `out` of `blocks` are out.
    Span { block_bytes: usize, out: usize, blocks: usize },
    /// A large block.
    Large,
    /// Free, with its pages.
    Dirty,
    /// Free, without.
    Clean,
}

/// How a class uses its spans, in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ClassUse {
    pub(crate) block_bytes: u64,
    pub(crate) span_bytes: u64,
    pub(crate) live: u64,
    /// Free in bins, caches and batches.
    pub(crate) at_hand: u64,
    /// In no block.
    pub(crate) tail: u64,
}

impl Recording {
    /// One of nothing yet.
    pub(crate) fn of(subject: &Subject) -> Self {
        Self {
            version: VERSION,
            title: subject.process().title(),
            profile: String::new(),
            samples: Vec::new(),
            region_bytes: REGION_BYTES,
            pieces: Vec::new(),
            classes: Vec::new(),
        }
    }

    /// Adds a look at the process, `seconds` after the first one.
    pub(crate) fn look(&mut self, subject: &Subject, seconds: f64) -> Result<()> {
        let picture = subject.picture()?;
        let s = &picture.snapshot;
        self.samples.push(Sample {
            seconds,
            resident: live::resident(subject.process().id()).unwrap_or(0),
            live: s.live() as u64,
            obtained: s.obtained() as u64,
            binned: s.binned() as u64,
            cached: (s.cached() + s.in_flight()) as u64,
            dirty: s.pages.dirty as u64,
            purged: s.pages.purged as u64,
            metadata: s.pages.metadata as u64,
        });
        s.profile.clone_into(&mut self.profile);
        self.pieces = pieces(&picture);
        self.classes = view::class_rows(&picture).iter().map(class_use).collect();
        Ok(())
    }

    /// The last look.
    pub(crate) fn last(&self) -> Sample {
        self.samples.last().copied().unwrap_or_default()
    }

    /// Writes it to `path`.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self)?;
        fs::write(path, text).with_context(|| format!("{}", path.display()))
    }

    /// Reads it from `path`.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let read: Self = serde_json::from_str(&text).with_context(|| format!("{} is no recording", path.display()))?;
        ensure!(read.version == VERSION, "{} is a recording of another version of this command", path.display());
        Ok(read)
    }
}

fn class_use(row: &view::ClassRow) -> ClassUse {
    let f = &row.figures;
    let bytes = |blocks: u32| u64::from(blocks) * row.class.block_bytes as u64;
    ClassUse {
        block_bytes: row.class.block_bytes as u64,
        span_bytes: row.span_bytes,
        live: row.live_bytes(),
        at_hand: bytes(f.binned) + bytes(f.cached) + bytes(f.in_flight),
        tail: u64::from(f.partial + f.full) * row.class.tail_bytes() as u64,
    }
}

fn pieces(picture: &Picture) -> Vec<Piece> {
    let spans = picture.spans.iter().map(|span| Piece {
        region: span.region,
        regions: span.class.regions,
        kind: Kind::Span { block_bytes: span.class.block_bytes, out: span.out, blocks: span.class.blocks },
    });
    let large = picture.large.iter().map(|large| Piece {
        region: large.region,
        regions: large.bytes.div_ceil(REGION_BYTES),
        kind: Kind::Large,
    });
    let runs = picture.runs.iter().map(|run| Piece {
        region: run.region,
        regions: run.regions,
        kind: if run.dirty { Kind::Dirty } else { Kind::Clean },
    });
    let mut pieces: Vec<_> = spans.chain(large).chain(runs).collect();
    pieces.sort_by_key(|piece| piece.region);
    pieces
}
