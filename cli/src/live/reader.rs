//! Reads a process's figures by way of its descriptor.
//!
//! The process goes on meanwhile, and may mean harm: nothing that is read is believed. Offsets are this command's own
//! (`object`), every number is bounded (`limits`), all chains together have an end, and what cannot be is counted as
//! torn and left out.

use super::holders::Holders;
use super::limits::{BATCHES_MAX, CACHED_MAX, FIGURE_MAX, HEAPS_MAX, NAME_MAX, REGIONS_MAX, SLOTS_MAX};
use super::picture::{Large, Owner, Picture, Run, Span};
use super::process::Process;
use super::words::{byte, half, word};
use anyhow::{Result, bail};
use spandrel::descriptor::{
    CentralListFigures, ClassFigures, Descriptor, HeapFigures, RECEIVED_PER_TURN, Snapshot, Traffic,
};
use spandrel::table::{self, ClassInfo, REGION_BYTES};
use std::collections::HashMap;

/// Regions whose records are read at a time.
const CHUNK: usize = 1 << 16;
const WORD: usize = size_of::<usize>();
const KIB: usize = 1 << 10;

/// Reads everything.
pub(super) fn read(process: &Process, descriptor: &Descriptor) -> Result<Picture> {
    read_as(process, descriptor, true)
}

/// Reads everything, and keeps the figures alone: of a process that lies, lists of spans would be long.
pub(super) fn read_figures(process: &Process, descriptor: &Descriptor) -> Result<Picture> {
    read_as(process, descriptor, false)
}

fn read_as(process: &Process, descriptor: &Descriptor, keeps: bool) -> Result<Picture> {
    let classes = classes(process, descriptor)?;
    let mut reader = Reader {
        process,
        d: descriptor,
        classes,
        banks: Vec::new(),
        batches: BATCHES_MAX,
        heaps: HashMap::new(),
        out: HashMap::new(),
        holders: Holders::default(),
        keeps,
    };
    let mut picture = Picture {
        snapshot: Snapshot::empty(profile(process, descriptor)?),
        heaps: Vec::new(),
        spans: Vec::new(),
        large: Vec::new(),
        runs: Vec::new(),
        data: descriptor.pages.data,
        torn: 0,
    };
    reader.read_pages(&mut picture)?;
    reader.find_heaps(&mut picture)?;
    reader.read_holders(&mut picture)?;
    reader.read_regions(&mut picture)?;
    reader.read_central_lists(&mut picture)?;
    reader.read_heaps(&mut picture)?;
    Ok(picture)
}

struct Reader<'a> {
    process: &'a Process,
    d: &'a Descriptor,
    classes: Vec<ClassInfo>,
    /// Of each bank its part of the page map, up to the first region never used.
    banks: Vec<Vec<usize>>,
    /// Batches that may still be read.
    batches: usize,
    /// Heaps by address: their threads, 0 for none, in the order of the registry, and their bytes.
    heaps: HashMap<usize, HeapRead>,
    /// Blocks out of the spans of each heap, and their bytes.
    out: HashMap<usize, [usize; 2]>,
    /// Named heaps.
    holders: Holders,
    /// Whether the picture gets lists of spans, large blocks and runs.
    keeps: bool,
}

struct HeapRead {
    order: usize,
    bytes: Vec<u8>,
}

/// The library's classes, which are this command's own where the two are of one version.
fn classes(process: &Process, d: &Descriptor) -> Result<Vec<ClassInfo>> {
    let own: Vec<ClassInfo> = table::classes().collect();
    let [address, row] = d.geometry;
    let rows = process.bytes(address, row * own.len())?;
    let equal = |(class, row): (&ClassInfo, &[u8])| half(row, 0) == class.block_bytes && half(row, 8) == class.blocks;
    if !own.iter().zip(rows.chunks_exact(row)).all(equal) {
        bail!("process {} has a Spandrel with other classes than this command", process.title());
    }
    Ok(own)
}

/// The name of the profile, for good: there are only a few.
fn profile(process: &Process, d: &Descriptor) -> Result<&'static str> {
    let [address, len] = d.profile;
    let name = process.bytes(address, len.min(NAME_MAX))?;
    let known = spandrel::config::PROFILES.iter().find(|profile| profile.name.as_bytes() == name);
    Ok(known.map_or("unknown", |profile| profile.name))
}

impl Reader<'_> {
    /// The word at `address`, which is a figure.
    fn figure(&self, address: usize) -> Result<usize> {
        Ok(self.process.word(address)?.min(FIGURE_MAX))
    }

    fn read_pages(&mut self, picture: &mut Picture) -> Result<()> {
        let (process, p) = (self.process, &self.d.pages);
        let regions = |address| Ok::<usize, anyhow::Error>(process.half(address)? * REGION_BYTES);
        let pages = &mut picture.snapshot.pages;
        pages.used = regions(p.touched)?;
        pages.dirty = regions(p.dirty)?;
        pages.clean = regions(p.clean)?;
        pages.reserved = p.reserved.min(FIGURE_MAX);
        pages.purges = self.figure(p.purges)?;
        pages.purged = self.figure(p.purged)?;
        for bank in 0..p.banks {
            pages.metadata += self.figure(p.metadata[bank])?;
            let committed =
                p.committed[bank].iter().map(|&address| self.figure(address)).collect::<Result<Vec<_>>>()?;
            pages.committed += committed.iter().sum::<usize>();
            if p.huge[bank] != 0 {
                let data = committed.last().copied().unwrap_or(0);
                pages.huge += self.figure(p.huge[bank])?.min(data).saturating_sub(p.huge_from);
            }
            self.read_entries(bank)?;
        }
        let [address, count] = self.d.calls;
        for (index, call) in picture.snapshot.calls.iter_mut().enumerate().take(count) {
            *call = self.figure(address.wrapping_add(index * WORD))? as u64;
        }
        let (central, large) = (&self.d.central, &mut picture.snapshot.large);
        large.direct_blocks = self.figure(central.direct_blocks)? + self.figure(central.apart)?;
        large.direct_bytes = self.figure(central.direct_bytes)? + self.figure(central.apart.wrapping_add(WORD))?;
        Ok(())
    }

    /// Reads the part of the page map that is of one bank, up to the first region never used.
    fn read_entries(&mut self, bank: usize) -> Result<()> {
        let p = &self.d.pages;
        let first = bank * p.bank_regions;
        let used = self.process.half(p.borders[bank])?.clamp(first, first + p.bank_regions) - first;
        let before: usize = self.banks.iter().map(Vec::len).sum();
        if used + before > REGIONS_MAX {
            bail!("process {} has used more address space than this command reads", self.process.title());
        }
        let mut entries = Vec::new();
        while entries.len() < used {
            let count = CHUNK.min(used - entries.len());
            let address = p.entries.wrapping_add((first + entries.len()) * WORD);
            let words = self.process.bytes(address, count * WORD)?;
            entries.extend(words.chunks_exact(WORD).map(|chunk| word(chunk, 0) & !p.entry_marks));
        }
        self.banks.push(entries);
        Ok(())
    }

    /// The entry of a region; 0 for one that was never used, or is none.
    fn entry(&self, region: usize) -> usize {
        let each = self.d.pages.bank_regions;
        self.banks.get(region / each).and_then(|entries| entries.get(region % each)).copied().unwrap_or(0)
    }

    /// Whether so many regions from `region` on were used and are of one bank.
    fn are_used(&self, region: usize, regions: usize) -> bool {
        let each = self.d.pages.bank_regions;
        self.banks.get(region / each).is_some_and(|entries| region % each + regions <= entries.len())
    }

    fn find_heaps(&mut self, picture: &mut Picture) -> Result<()> {
        let h = &self.d.heap;
        let mut next = self.process.word(h.first)?;
        while next != 0 {
            let is_heap = next.is_multiple_of(self.d.pages.owner_align) && self.heaps.len() < HEAPS_MAX;
            let Some(bytes) = is_heap.then(|| self.process.bytes(next, h.bytes).ok()).flatten() else {
                picture.torn += 1;
                break;
            };
            let order = self.heaps.len();
            let after = word(&bytes, h.next);
            if self.heaps.insert(next, HeapRead { order, bytes }).is_some() {
                picture.torn += 1;
                break;
            }
            next = after;
        }
        Ok(())
    }

    /// Reads the table of holders. The parts of named heaps, and those of them that threads use, are among the heaps.
    fn read_holders(&mut self, picture: &mut Picture) -> Result<()> {
        let h = &self.d.heap;
        let mut parts = HashMap::<usize, [usize; 2]>::new();
        for heap in self.heaps.values().filter(|heap| byte(&heap.bytes, h.taken) != 0) {
            // A heap of a thread has no other user.
            let is_used = word(&heap.bytes, h.handle) == 0 || word(&heap.bytes, h.user) != 0;
            let part = parts.entry(word(&heap.bytes, h.bill)).or_default();
            *part = [part[0] + 1, part[1] + usize::from(is_used)];
        }
        self.holders = Holders::read(self.process, &self.d.holders, &mut picture.torn, |bill, mut figures| {
            [figures.parts, figures.users] = parts.get(&bill).copied().unwrap_or_default();
            picture.snapshot.bills.add(&figures);
        })?;
        Ok(())
    }

    fn read_regions(&mut self, picture: &mut Picture) -> Result<()> {
        for bank in 0..self.banks.len() {
            let first = bank * self.d.pages.bank_regions;
            // The first region of a bank is never used.
            let (mut region, border) = (first + 1, first + self.banks[bank].len());
            while region < border {
                let count = CHUNK.min(border - region);
                self.read_records(picture, region, count)?;
                region += count;
            }
        }
        let [cached, count] = self.d.pages.cached;
        let words = self.process.bytes(cached, count.min(CACHED_MAX) * WORD)?;
        // A run that was taken meanwhile is in a block that was seen.
        picture.add_cached(&words, |run| self.are_used(run.region, run.regions) && self.entry(run.region) == 0);
        Ok(())
    }

    fn read_records(&mut self, picture: &mut Picture, region: usize, count: usize) -> Result<()> {
        let p = &self.d.pages;
        let records = self.process.bytes(p.records.wrapping_add(region * p.record_bytes), count * p.record_bytes)?;
        for (at, record) in records.chunks_exact(p.record_bytes).enumerate() {
            self.see_region(picture, region + at, record);
        }
        Ok(())
    }

    fn see_region(&mut self, picture: &mut Picture, region: usize, record: &[u8]) {
        let (p, c) = (&self.d.pages, &self.d.central);
        let entry = self.entry(region);
        let span = record.get(p.span..).unwrap_or(&[]);
        if entry == 0 {
            let regions = half(record, p.run_len);
            let after = picture.runs.last().map_or(0, |run| run.region + run.regions);
            if regions > 0 && region >= after && self.are_used(region, regions) {
                if !self.keeps {
                    picture.runs.clear();
                }
                picture.runs.push(Run { region, regions, dirty: byte(record, p.run_dirty) != 0 });
            }
        } else if entry == p.large {
            let (bytes, room) = (word(span, c.span_bytes), byte(span, c.span_room) | byte(span, c.span_room + 1) << 8);
            let regions = bytes.min(FIGURE_MAX).div_ceil(REGION_BYTES).max(room);
            if bytes > FIGURE_MAX || !self.are_used(region, regions) {
                picture.torn += 1;
                return;
            }
            let large = &mut picture.snapshot.large;
            large.large_blocks += 1;
            large.large_bytes += bytes;
            large.region_bytes += regions * REGION_BYTES;
            picture.snapshot.bills.credit(self.holders.of_place(word(span, c.span_bill)), 1, bytes);
            if self.keeps {
                picture.large.push(Large { region, bytes });
            }
        } else if half(span, c.span_first) == region {
            match self.class_of(entry) {
                Some(class) => self.see_span(picture, region, entry, class, span),
                None => picture.torn += 1,
            }
        }
    }

    fn see_span(&mut self, picture: &mut Picture, region: usize, entry: usize, class: ClassInfo, span: &[u8]) {
        let c = &self.d.central;
        let out = half(span, c.span_out) & !c.out_mark;
        let owner = self.owner_of(entry);
        let owner = match owner {
            0 => Owner::CentralList,
            heap => match self.heaps.get(&heap) {
                Some(heap) => Owner::Thread(half(&heap.bytes, self.d.heap.thread) as u32),
                None => {
                    picture.torn += 1;
                    return;
                }
            },
        };
        if out > class.blocks {
            picture.torn += 1;
            return;
        }
        let figures = figures(picture, class);
        figures.out = figures.out.saturating_add(out as u32);
        if byte(span, c.span_state) == c.state_full {
            figures.full += 1
        } else {
            figures.partial += 1
        }
        let purged = byte(span, c.span_purged) | byte(span, c.span_purged + 1) << 8;
        picture.snapshot.holes += purged * KIB;
        if self.keeps {
            picture.spans.push(Span { region, class, out, owner });
        }
        let sum = self.out.entry(self.owner_of(entry)).or_default();
        *sum = [sum[0] + out, sum[1] + out * class.block_bytes];
    }

    /// The class of a span's entry.
    fn class_of(&self, entry: usize) -> Option<ClassInfo> {
        let p = &self.d.pages;
        self.classes.get((entry & (p.owner_align - 1)) / p.class_step).copied()
    }

    /// The heap that an entry names; 0 for the central list.
    fn owner_of(&self, entry: usize) -> usize {
        let owner = entry & !(self.d.pages.owner_align - 1);
        if owner == self.d.pages.central { 0 } else { owner }
    }

    /// Takes the free blocks of a chain of batches off what is out of their owners' spans; `see` gets their classes.
    fn read_chain(&mut self, first: usize, torn: &mut usize, see: &mut dyn FnMut(ClassInfo)) {
        let mut next = first;
        while next != 0 {
            next = self.read_batch(next, torn, see);
        }
    }

    /// As [`Reader::read_chain`], for one batch; the next one, 0 if there is none.
    fn read_batch(&mut self, address: usize, torn: &mut usize, see: &mut dyn FnMut(ClassInfo)) -> usize {
        // Small numbers are marks, not addresses.
        if address <= self.d.pages.owner_align {
            return 0;
        }
        if self.batches == 0 {
            *torn += 1;
            return 0;
        }
        self.batches -= 1;
        let c = &self.d.central;
        let Ok(batch) = self.process.bytes(address, c.batch_blocks + c.batch_max * WORD) else {
            *torn += 1;
            return 0;
        };
        for index in half(&batch, c.batch_gone)..half(&batch, c.batch_len).min(c.batch_max) {
            let block = word(&batch, c.batch_blocks + index * WORD);
            let region = block.wrapping_sub(self.d.pages.data) / REGION_BYTES;
            let entry = Some(self.entry(region)).filter(|&entry| entry != 0 && entry != self.d.pages.large);
            match entry.and_then(|entry| Some((entry, self.class_of(entry)?))) {
                Some((entry, class)) => {
                    if let Some(out) = self.out.get_mut(&self.owner_of(entry)) {
                        *out = [out[0].saturating_sub(1), out[1].saturating_sub(class.block_bytes)];
                    }
                    see(class);
                }
                None => *torn += 1,
            }
        }
        word(&batch, c.batch_next)
    }

    fn read_central_lists(&mut self, picture: &mut Picture) -> Result<()> {
        let (process, c) = (self.process, &self.d.central);
        for class in self.classes.clone() {
            let at = |base: usize, offset| base.wrapping_add(class.index * c.list_step + offset);
            let mut cached = 0;
            let first = process.word(at(c.lists, c.batches))?;
            self.read_chain(first, &mut picture.torn, &mut |_| cached += 1);
            let received = self.figure(at(c.received_turns, 0))? as u64;
            let figures = figures(picture, class);
            figures.cached = cached;
            figures.received = received * RECEIVED_PER_TURN;
            figures.central = CentralListFigures {
                cache_hits: self.figure(at(c.lists, c.taken))? as u64,
                adopted: self.figure(at(c.lists, c.adopted))? as u64,
                made: self.figure(at(c.made, 0))? as u64,
            };
        }
        Ok(())
    }

    fn read_heaps(&mut self, picture: &mut Picture) -> Result<()> {
        let mut heaps: Vec<(usize, HeapRead)> = self.heaps.drain().collect();
        heaps.sort_by_key(|(_, heap)| heap.order);
        let h = &self.d.heap;
        for (_, heap) in &heaps {
            let outbox = (0..h.outbox_places).map(|place| word(&heap.bytes, h.outbox + place * WORD));
            let chains = [word(&heap.bytes, h.pending), word(&heap.bytes, h.inbox)];
            let mut torn = 0;
            // A batch of the outbox has no successor: its link is left over from elsewhere.
            for first in outbox {
                self.read_batch(first, &mut torn, &mut |class| figures(picture, class).in_flight += 1);
            }
            for first in chains {
                self.read_chain(first, &mut torn, &mut |class| figures(picture, class).in_flight += 1);
            }
            picture.torn += torn;
        }
        for (address, heap) in &heaps {
            self.see_heap(picture, *address, &heap.bytes);
        }
        Ok(())
    }

    fn see_heap(&self, picture: &mut Picture, address: usize, heap: &[u8]) {
        let h = &self.d.heap;
        let taken = byte(heap, h.taken) != 0;
        let mut of_heap = HeapFigures {
            thread: half(heap, h.thread) as u32,
            traffic: Traffic {
                sent: half(heap, h.sent) as u64,
                sent_blocks: word(heap, h.sent_blocks).min(FIGURE_MAX) as u64,
                received: half(heap, h.received) as u64,
                received_blocks: word(heap, h.received_blocks).min(FIGURE_MAX) as u64,
            },
            ..HeapFigures::default()
        };
        let mut binned_blocks = 0;
        for class in &self.classes {
            let bin = class.index * h.bin_step;
            let slots = word(heap, bin + h.bin_top).saturating_sub(word(heap, bin + h.bin_base)) / WORD;
            picture.torn += usize::from(slots > SLOTS_MAX);
            let binned = if taken && slots <= SLOTS_MAX { slots } else { 0 };
            let figures = figures(picture, *class);
            let [refills, flushes] = [h.refills, h.flushes].map(|counts| half(heap, counts + class.index * 4) as u64);
            figures.refills += refills;
            figures.flushes += flushes;
            figures.received += heap.get(h.received_refills + class.index).copied().map_or(0, u64::from);
            figures.binned = figures.binned.saturating_add(binned as u32);
            of_heap.refills += refills;
            of_heap.flushes += flushes;
            of_heap.binned += (binned * class.block_bytes) as u64;
            binned_blocks += binned;
        }
        let traffic = &mut picture.snapshot.traffic;
        traffic.sent += of_heap.traffic.sent;
        traffic.sent_blocks += of_heap.traffic.sent_blocks;
        traffic.received += of_heap.traffic.received;
        traffic.received_blocks += of_heap.traffic.received_blocks;
        let [blocks, bytes] = self.out.get(&address).copied().unwrap_or_default();
        of_heap.live = (bytes as u64).saturating_sub(of_heap.binned);
        let holder = self.holders.of_bill(word(heap, h.bill));
        picture.snapshot.bills.credit(holder, blocks.saturating_sub(binned_blocks), of_heap.live as usize);
        // A part of a named heap is no thread's: its figures are on the bill.
        if taken && word(heap, h.handle) == 0 {
            picture.snapshot.add_heap(of_heap);
            picture.heaps.push(of_heap);
        }
    }
}

fn figures(picture: &mut Picture, class: ClassInfo) -> &mut ClassFigures {
    let last = table::CLASSES - 1;
    &mut picture.snapshot.classes[class.index.min(last)]
}
