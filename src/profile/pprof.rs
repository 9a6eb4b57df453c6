//! A dump in pprof's format (`profile.proto` of github.com/google/pprof), which `go tool pprof` and flame-graph tools
//! read. Addresses stay addresses: a reader, who has the files, finds their names.

use core::ffi::CStr;

use super::gzip::Gzip;
use super::maps::Maps;
use super::message::Message;
use super::scratch::{Addresses, Parts, Scratch};
use super::stacks::{Entry, HeapName};
use super::{DEPTH, Profile};
use crate::base::text::Inline;
use crate::sys::atomic::Ordering;
use crate::sys::output::Output;

/// The head of a dump.
pub(crate) struct About {
    /// The mean number of bytes between samples.
    pub(crate) period: usize,
    /// When the dump is made, in nanoseconds since 1970, and how long samples were taken.
    pub(crate) time: u64,
    pub(crate) duration: u64,
    /// Whether the process ends by itself: then readers begin with the peak, for at its end little is live.
    pub(crate) ends: bool,
}

/// Texts, by number. The first has to be empty.
static TEXTS: [Inline<13>; 11] = [
    Inline::of(""),
    Inline::of("alloc_objects"),
    Inline::of("count"),
    Inline::of("alloc_space"),
    Inline::of("bytes"),
    Inline::of("inuse_objects"),
    Inline::of("inuse_space"),
    Inline::of("peak_objects"),
    Inline::of("peak_space"),
    Inline::of("space"),
    Inline::of("heap"),
];
const COUNT: u64 = 2;
const BYTES: u64 = 4;
const INUSE_SPACE: u64 = 6;
const PEAK_SPACE: u64 = 8;
const SPACE: u64 = 9;
const HEAP: u64 = 10;
/// The values of each stack: name and unit.
const VALUES: [(u64, u64); 6] =
    [(1, COUNT), (3, BYTES), (5, COUNT), (INUSE_SPACE, BYTES), (7, COUNT), (PEAK_SPACE, BYTES)];

/// Numbers of fields: of the profile, and of the messages in it.
mod field {
    pub(super) const SAMPLE_TYPE: u64 = 1;
    pub(super) const SAMPLE: u64 = 2;
    pub(super) const MAPPING: u64 = 3;
    pub(super) const LOCATION: u64 = 4;
    pub(super) const STRING: u64 = 6;
    pub(super) const TIME: u64 = 9;
    pub(super) const DURATION: u64 = 10;
    pub(super) const PERIOD_TYPE: u64 = 11;
    pub(super) const PERIOD: u64 = 12;
    pub(super) const DEFAULT_TYPE: u64 = 14;
    pub(super) const TYPE_NAME: u64 = 1;
    pub(super) const TYPE_UNIT: u64 = 2;
    pub(super) const SAMPLE_LOCATIONS: u64 = 1;
    pub(super) const SAMPLE_VALUES: u64 = 2;
    pub(super) const SAMPLE_LABEL: u64 = 3;
    pub(super) const LABEL_KEY: u64 = 1;
    pub(super) const LABEL_TEXT: u64 = 2;
    pub(super) const MAPPING_ID: u64 = 1;
    pub(super) const MAPPING_START: u64 = 2;
    pub(super) const MAPPING_LIMIT: u64 = 3;
    pub(super) const MAPPING_OFFSET: u64 = 4;
    pub(super) const MAPPING_FILE: u64 = 5;
    pub(super) const LOCATION_ID: u64 = 1;
    pub(super) const LOCATION_MAPPING: u64 = 2;
    pub(super) const LOCATION_ADDRESS: u64 = 3;
}

/// Two numbers of texts, with the numbers of their fields.
const LABEL_BYTES: usize = 16;

// Addresses of ten bytes each, six values, a label, and headers fit into the messages of the scratch memory.
const _: () = assert!(DEPTH * 10 + 64 + LABEL_BYTES <= size_of::<[u8; 4 << 10]>());

/// Writes the samples so far to a file at `path`; the error number where that fails.
pub(crate) fn write(profile: &Profile, path: &CStr, about: &About) -> Result<(), i32> {
    let addresses = profile.entries().map(|entry| entry.frames.len()).sum();
    let mut scratch = Scratch::map(addresses).ok_or(libc::ENOMEM)?;
    let (parts, mut addresses) = scratch.parts().ok_or(libc::ENOMEM)?;
    let Parts { block, outer, inner, lines, maps, names } = parts;
    let maps = Maps::read(maps, names, lines);
    let file = Gzip::begin(Output::begin(path)?, block);
    let mut writer = Writer { file, outer, inner };
    writer.head(about);
    // The newest stack before the newest name: so the names of all stacks are there.
    let entries = profile.entries();
    let mut names = profile.names().peekable();
    // Names are written from the newest to the oldest, which is number 0.
    let oldest = TEXTS.len() + maps.all().len() + names.peek().map_or(0, |newest| newest.number);
    writer.texts(&maps, names);
    // Relaxed: a peak that is reached meanwhile is in the next dump.
    let epoch = profile.peak_epoch.load(Ordering::Relaxed);
    for entry in entries {
        writer.sample(entry, epoch, oldest);
        writer.locations(entry, &maps, &mut addresses);
    }
    writer.file.end()
}

struct Writer<'a> {
    file: Gzip<'a>,
    outer: &'a mut [u8],
    inner: &'a mut [u8],
}

impl Writer<'_> {
    /// Writes a field of the profile that is itself a message.
    fn nested(&mut self, field: u64, build: impl FnOnce(&mut Message<'_>)) {
        let mut inner = Message::new(self.inner);
        build(&mut inner);
        self.file.write(Message::new(self.outer).field(field, inner.finish()).finish());
    }

    fn head(&mut self, about: &About) {
        let kind = |(name, unit): (u64, u64)| {
            move |message: &mut Message<'_>| {
                message.number(field::TYPE_NAME, name).number(field::TYPE_UNIT, unit);
            }
        };
        for value in VALUES {
            self.nested(field::SAMPLE_TYPE, kind(value));
        }
        self.nested(field::PERIOD_TYPE, kind((SPACE, BYTES)));
        let mut message = Message::new(self.outer);
        message.number(field::PERIOD, about.period as u64).number(field::TIME, about.time);
        let default = if about.ends { PEAK_SPACE } else { INUSE_SPACE };
        message.number(field::DURATION, about.duration).number(field::DEFAULT_TYPE, default);
        self.file.write(message.finish());
    }

    /// Writes the texts, then the mappings. The numbers of files follow those of the texts, then come those of heaps.
    fn texts(&mut self, maps: &Maps<'_>, heaps: impl Iterator<Item = &'static HeapName>) {
        let files = maps.all().iter().map(|map| maps.name(map));
        for text in TEXTS.iter().map(|text| text.text().as_bytes()).chain(files) {
            self.text(text);
        }
        heaps.for_each(|heap| self.text(heap.text()));
        for (index, map) in maps.all().iter().enumerate() {
            self.nested(field::MAPPING, |message| {
                message.number(field::MAPPING_ID, index as u64 + 1).number(field::MAPPING_START, map.start as u64);
                message.number(field::MAPPING_LIMIT, map.end as u64).number(field::MAPPING_OFFSET, map.offset as u64);
                message.number(field::MAPPING_FILE, (TEXTS.len() + index) as u64);
            });
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.file.write(Message::new(self.outer).field(field::STRING, text).finish());
    }

    /// Writes a stack. `oldest` is the number of the text that is the first name of a heap.
    fn sample(&mut self, entry: &Entry, epoch: u64, oldest: usize) {
        let mut room = [0; LABEL_BYTES];
        let mut label = Message::new(&mut room);
        if let Some(heap) = entry.heap {
            label.number(field::LABEL_KEY, HEAP).number(field::LABEL_TEXT, oldest.saturating_sub(heap.number) as u64);
        }
        let label = label.finish();
        let mut packed = Message::new(self.inner);
        for frame in entry.frames {
            packed.varint(call_before(*frame) as u64);
        }
        let locations = packed.finish().len();
        for value in entry.totals(epoch).as_flattened() {
            packed.varint(*value);
        }
        let (locations, values) = packed.finish().split_at_checked(locations).unwrap_or((&[], &[]));
        let labelled = if label.is_empty() { 0 } else { header_len(label.len()) + label.len() };
        let len = header_len(locations.len()) + locations.len() + header_len(values.len()) + values.len() + labelled;
        let mut message = Message::new(self.outer);
        message.begin(field::SAMPLE, len);
        message.field(field::SAMPLE_LOCATIONS, locations).field(field::SAMPLE_VALUES, values);
        if !label.is_empty() {
            message.field(field::SAMPLE_LABEL, label);
        }
        self.file.write(message.finish());
    }

    /// Writes the addresses of the stack that no stack before it had. The id of an address is the address itself.
    fn locations(&mut self, entry: &Entry, maps: &Maps<'_>, seen: &mut Addresses<'_>) {
        for address in entry.frames.iter().map(|&frame| call_before(frame)) {
            if seen.insert(address) {
                self.nested(field::LOCATION, |message| {
                    message.number(field::LOCATION_ID, address as u64);
                    message.number(field::LOCATION_MAPPING, maps.number(address) as u64);
                    message.number(field::LOCATION_ADDRESS, address as u64);
                });
            }
        }
    }
}

/// An address within the call that returns to `frame`.
fn call_before(frame: usize) -> usize {
    frame.saturating_sub(1).max(1)
}

/// Bytes before a field of `len` bytes whose number is below 16.
fn header_len(len: usize) -> usize {
    1 + (usize::BITS - len.leading_zeros()).div_ceil(7).max(1) as usize
}
