//! The record of a process: what it is, figures over time, and where everything lay at the last look. Kept as JSON.

use crate::live::{self, Picture, Subject};
use crate::view::HeapRow;
use crate::{moment, view};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use spandrel::descriptor::HolderFigures;
use spandrel::table::REGION_BYTES;
use std::fs;
use std::path::Path;

/// Changes whenever older files can no longer be read.
const VERSION: u64 = 1;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// The process, by number and name.
    pub(crate) title: String,
    /// The profile that it runs in.
    pub(crate) profile: String,
    /// When it was made.
    pub(crate) date: String,
    pub(crate) command: String,
    /// `SPANDREL_MODE` as the process was started, and all its settings.
    pub(crate) mode: String,
    pub(crate) options: String,
    /// Threads that have a heap.
    pub(crate) threads: u64,
    /// Resident memory at the last look by its kinds: names and bytes.
    pub(crate) resident: Vec<(String, u64)>,
    /// The oldest first.
    pub(crate) samples: Vec<Sample>,
    /// Bytes of a region.
    pub(crate) region_bytes: usize,
    /// The contents of the regions at the last look, in order of region.
    pub(crate) pieces: Vec<Piece>,
    /// Classes at the last look, those with most bytes first.
    pub(crate) classes: Vec<ClassUse>,
    /// Named heaps at the last look, and what has no name; empty without named heaps.
    pub(crate) heaps: Vec<HeapRow>,
}

/// Figures of one moment, in bytes.
#[derive(Clone, Copy, Debug, Default)]
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) region: usize,
    pub(crate) regions: usize,
    pub(crate) kind: Kind,
}

/// The kind of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug)]
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
        let process = subject.process();
        let settings = process.settings();
        let mode = settings.iter().find_map(|setting| setting.strip_prefix("SPANDREL_MODE="));
        Self {
            title: process.title(),
            date: moment::now(),
            command: process.command(),
            mode: mode.unwrap_or("fast").to_owned(),
            options: settings.join(" "),
            region_bytes: REGION_BYTES,
            ..Self::default()
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
        self.threads = s.heaps as u64;
        // Without them the page has fewer rows.
        self.resident = subject.resident_parts().unwrap_or_default();
        self.pieces = pieces(&picture);
        self.classes = view::class_rows(&picture).iter().map(class_use).collect();
        self.heaps = view::heap_rows(s);
        Ok(())
    }

    /// The last look.
    pub(crate) fn last(&self) -> Sample {
        self.samples.last().copied().unwrap_or_default()
    }

    /// Writes it to `path`.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        fs::write(path, self.to_value().to_string()).with_context(|| format!("{}", path.display()))
    }

    /// Reads it from `path`.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is no recording", path.display()))?;
        if value["version"].is_u64() {
            let known = value["version"] == VERSION;
            ensure!(known, "{} is a recording of another version of this command", path.display());
        }
        Self::from_value(&value).with_context(|| format!("{} is no recording", path.display()))
    }

    pub(crate) fn to_value(&self) -> Value {
        let samples = self.samples.iter().map(|sample| {
            json!({
                "seconds": sample.seconds, "resident": sample.resident, "live": sample.live,
                "obtained": sample.obtained, "binned": sample.binned, "cached": sample.cached,
                "dirty": sample.dirty, "purged": sample.purged, "metadata": sample.metadata,
            })
        });
        let pieces = self.pieces.iter().map(|piece| {
            let kind = match piece.kind {
                Kind::Span { block_bytes, out, blocks } => {
                    json!({ "span": { "block_bytes": block_bytes, "out": out, "blocks": blocks } })
                }
                Kind::Large => json!("large"),
                Kind::Dirty => json!("dirty"),
                Kind::Clean => json!("clean"),
            };
            json!({ "region": piece.region, "regions": piece.regions, "kind": kind })
        });
        let classes = self.classes.iter().map(|class| {
            json!({
                "block_bytes": class.block_bytes, "span_bytes": class.span_bytes, "live": class.live,
                "at_hand": class.at_hand, "tail": class.tail,
            })
        });
        let heaps = self.heaps.iter().map(|row| {
            let heap = &row.figures;
            json!({
                "name": row.name, "is_named": row.is_named, "held": heap.held, "peak": heap.peak,
                "live": heap.live_bytes, "blocks": heap.live_blocks, "soft": heap.soft, "hard": heap.hard,
                "refusals": heap.refusals, "users": heap.users,
            })
        });
        json!({
            "version": VERSION, "title": self.title, "profile": self.profile, "date": self.date,
            "command": self.command, "mode": self.mode, "options": self.options, "threads": self.threads,
            "resident": self.resident, "region_bytes": self.region_bytes, "samples": samples.collect::<Vec<_>>(),
            "pieces": pieces.collect::<Vec<_>>(), "classes": classes.collect::<Vec<_>>(),
            "heaps": heaps.collect::<Vec<_>>(),
        })
    }

    /// Fields that older files do not have are empty.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let parts = value["resident"].as_array().map(Vec::as_slice).unwrap_or_default();
        let part = |part: &Value| Some((part[0].as_str()?.to_owned(), part[1].as_u64()?));
        Some(Self {
            title: value["title"].as_str()?.to_owned(),
            profile: text("profile"),
            date: text("date"),
            command: text("command"),
            mode: text("mode"),
            options: text("options"),
            threads: value["threads"].as_u64().unwrap_or(0),
            resident: parts.iter().filter_map(part).collect(),
            samples: value["samples"].as_array()?.iter().map(sample).collect::<Option<_>>()?,
            region_bytes: size(&value["region_bytes"])?,
            pieces: value["pieces"].as_array()?.iter().map(piece).collect::<Option<_>>()?,
            classes: value["classes"].as_array()?.iter().map(class).collect::<Option<_>>()?,
            heaps: value["heaps"].as_array().into_iter().flatten().map(heap).collect::<Option<_>>()?,
        })
    }
}

fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn sample(value: &Value) -> Option<Sample> {
    let bytes = |name: &str| value[name].as_u64();
    Some(Sample {
        seconds: value["seconds"].as_f64()?,
        resident: bytes("resident")?,
        live: bytes("live")?,
        obtained: bytes("obtained")?,
        binned: bytes("binned")?,
        cached: bytes("cached")?,
        dirty: bytes("dirty")?,
        purged: bytes("purged")?,
        metadata: bytes("metadata")?,
    })
}

fn piece(value: &Value) -> Option<Piece> {
    let kind = match value["kind"].as_str() {
        Some("large") => Kind::Large,
        Some("dirty") => Kind::Dirty,
        Some("clean") => Kind::Clean,
        Some(_) => return None,
        None => {
            let span = &value["kind"]["span"];
            Kind::Span {
                block_bytes: size(&span["block_bytes"])?,
                out: size(&span["out"])?,
                blocks: size(&span["blocks"])?,
            }
        }
    };
    Some(Piece { region: size(&value["region"])?, regions: size(&value["regions"])?, kind })
}

fn class(value: &Value) -> Option<ClassUse> {
    let bytes = |name: &str| value[name].as_u64();
    Some(ClassUse {
        block_bytes: bytes("block_bytes")?,
        span_bytes: bytes("span_bytes")?,
        live: bytes("live")?,
        at_hand: bytes("at_hand")?,
        tail: bytes("tail")?,
    })
}

fn heap(value: &Value) -> Option<HeapRow> {
    let figures = HolderFigures {
        held: size(&value["held"])?,
        peak: size(&value["peak"])?,
        live_bytes: size(&value["live"])?,
        live_blocks: size(&value["blocks"])?,
        soft: size(&value["soft"])?,
        hard: size(&value["hard"])?,
        refusals: size(&value["refusals"])?,
        users: size(&value["users"])?,
        ..HolderFigures::NONE
    };
    Some(HeapRow { figures, name: value["name"].as_str()?.to_owned(), is_named: value["is_named"].as_bool()? })
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The recording that a file of this text has.
    pub(crate) fn parsed(text: &str) -> Recording {
        Recording::from_value(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let span = Kind::Span { block_bytes: 64, out: 3, blocks: 512 };
        let kinds = [span, Kind::Large, Kind::Dirty, Kind::Clean];
        let recording = Recording {
            title: "7 (x)".to_owned(),
            resident: vec![("blocks".to_owned(), 9)],
            samples: vec![Sample { seconds: 0.5, live: 7, ..Sample::default() }],
            pieces: kinds.map(|kind| Piece { region: 1, regions: 2, kind }).to_vec(),
            classes: vec![ClassUse { block_bytes: 64, span_bytes: 5, live: 4, at_hand: 3, tail: 2 }],
            heaps: [(true, 9), (false, 0)]
                .map(|(is_named, peak)| HeapRow {
                    figures: HolderFigures { held: 8, peak, soft: 7, users: 6, ..HolderFigures::NONE },
                    name: "a\"<".to_owned(),
                    is_named,
                })
                .to_vec(),
            ..Recording::default()
        };
        let value = recording.to_value();
        assert_eq!(Recording::from_value(&value).unwrap().to_value(), value);
        assert!(Recording::from_value(&json!({ "title": "x" })).is_none());
    }
}
