//! Processes that lie: descriptors and structures that could make a reader loop, divide by zero or allocate without
//! end. The process is this one, which serves itself by Spandrel, so that what it says can be made up in its own
//! memory.

use super::object::believable;
use super::process::Process;
use super::{Parts, reader, samples};
use anyhow::Result;
use spandrel::Spandrel;
use spandrel::descriptor::{Descriptor, SamplesDescriptor, WORDS};
use std::process::Command;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Spandrel = Spandrel;

/// Says that this is the process with little address space.
const BOUNDED: &str = "SPANDREL_CLI_BOUNDED";
/// In KiB. The sizes that a hostile word asks for are far above.
const ADDRESS_SPACE: &str = "6291456";
/// No reading may take as long.
const LONGEST: Duration = Duration::from_secs(30);
const WORD: usize = size_of::<usize>();
const HEAP_BYTES: usize = 8192;

/// Runs the test of that name in a process with little address space.
fn bounded(name: &str) -> bool {
    if std::env::var_os(BOUNDED).is_some() {
        return true;
    }
    let own = std::env::current_exe().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -v \"$0\" && exec \"$@\"", ADDRESS_SPACE])
        .arg(own)
        .args(["--exact", name])
        .env(BOUNDED, "1");
    let output = shell.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    false
}

fn own() -> Descriptor {
    ALLOCATOR.descriptor().unwrap()
}

/// Does all that can be done with a process that has this descriptor; whether its figures were taken.
fn look(words: [usize; WORDS]) -> bool {
    let start = Instant::now();
    let looked = try_look(words);
    assert!(start.elapsed() < LONGEST, "{:?}", start.elapsed());
    looked.is_ok()
}

fn try_look(words: [usize; WORDS]) -> Result<()> {
    let descriptor = believable(Descriptor::from_words(words))?;
    let parts = Parts { process: Process::open(std::process::id())?, descriptor };
    let picture = reader::read(&parts.process, &parts.descriptor)?;
    // Figures that are written down are added up before.
    let _ = (crate::view::text(&picture, None), picture.snapshot.obtained(), picture.snapshot.in_use());
    let _ = parts.place(std::ptr::from_ref(&picture).addr());
    let _ = samples::read(&parts.process, &parts.descriptor);
    Ok(())
}

/// Random words, the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize
    }
}

/// Memory of so many words, at a multiple of a heap's bytes.
fn aligned(words: usize) -> (Vec<usize>, usize) {
    let memory = vec![0; words + HEAP_BYTES / WORD];
    let first = (memory.as_ptr().addr().next_multiple_of(HEAP_BYTES) - memory.as_ptr().addr()) / WORD;
    (memory, first)
}

fn address_of(words: &[usize], index: usize) -> usize {
    words.as_ptr().addr() + index * WORD
}

#[test]
fn no_word_of_a_descriptor_makes_a_reader_loop_crash_or_allocate_without_end() {
    if !bounded("live::hostile::no_word_of_a_descriptor_makes_a_reader_loop_crash_or_allocate_without_end") {
        return;
    }
    let good = own().words();
    assert!(look(good));
    let zeroes = vec![0_usize; 1 << 16];
    let itself = [std::ptr::from_ref(&good).addr(), address_of(&zeroes, 0)];
    let fixed = [0, 1, 2, 3, 8, 31, 4096, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 40, 1 << 46, 1 << 47, 1 << 63];
    let (mut taken, mut without_matter) = (0, 0);
    for word in 0..WORDS {
        // Words of banks that are not there, and words that are only shown, may be anything.
        let mut words = good;
        words[word] = usize::MAX;
        if look(words) {
            without_matter += 1;
            continue;
        }
        let near = [1_usize, 2, 1 << 3, 1 << 12, 1 << 15, 1 << 33].map(|bit| good[word] ^ bit);
        let borders = [usize::MAX - 7, usize::MAX / 2, good[word].wrapping_add(1), good[word].wrapping_sub(1)];
        for value in fixed.into_iter().chain(near).chain(borders).chain(itself) {
            let mut words = good;
            words[word] = value;
            taken += usize::from(look(words));
        }
    }
    assert!(
        taken > 20 && without_matter > WORDS / 4 && without_matter < WORDS * 3 / 4,
        "{taken} {without_matter} {WORDS}"
    );
    let mut dice = Dice(4711);
    for _ in 0..200 {
        let mut words = good;
        for _ in 0..1 + dice.next() % 4 {
            words[dice.next() % WORDS] = dice.next() >> (dice.next() % 64);
        }
        look(words);
    }
}

#[test]
fn lists_that_never_end_do_end() {
    let good = own();
    let h = good.heap;
    let (mut memory, first) = aligned(4 * HEAP_BYTES / WORD);
    let heap = |index: usize| first + index * HEAP_BYTES / WORD;
    // Two heaps that follow each other; the first has a chain of one batch that follows itself, full beyond its end.
    let batch = heap(2);
    memory[batch + good.central.batch_next / WORD] = address_of(&memory, batch);
    memory[batch + good.central.batch_len / WORD] = usize::MAX;
    for chain in [h.pending, h.inbox, h.outbox] {
        memory[heap(0) + chain / WORD] = address_of(&memory, batch);
    }
    memory[heap(0) + h.next / WORD] = address_of(&memory, heap(1));
    memory[heap(1) + h.next / WORD] = address_of(&memory, heap(0));
    // Bins without end.
    memory[heap(1) + h.taken / WORD] = usize::MAX;
    memory[heap(1) + h.bin_top / WORD] = usize::MAX;
    let head = [address_of(&memory, heap(0))];
    let mut lying = good;
    lying.heap.first = head.as_ptr().addr();
    let start = Instant::now();
    let picture = reader::read(&Process::open(std::process::id()).unwrap(), &lying).unwrap();
    assert!(picture.torn > 2 && start.elapsed() < LONGEST, "{} {:?}", picture.torn, start.elapsed());
    assert!(picture.heaps.len() <= 2);
    let list = [address_of(&memory, batch)];
    lying.central.lists = list.as_ptr().addr() - good.central.batches;
    assert!(look(lying.words()) || start.elapsed() < LONGEST);
}

#[test]
fn stacks_that_lie_are_bounded() {
    let good = own();
    let process = Process::open(std::process::id()).unwrap();
    let (on, frames) = (1_u8, [7_usize; 200]);
    // A record that leads to itself, of more objects and frames than there can be, in no parts.
    let mut record = [usize::MAX; 11];
    record[0] = record.as_ptr().addr();
    record[8] = frames.as_ptr().addr();
    let name = *b"\x1b[2J\xff\0hidden";
    let name = [&name[..], &[b'x'; 64]].concat();
    record[10] = name.as_ptr().addr();
    let words = [512, 1, record.as_ptr().addr(), 0];
    let [mean, since, newest, peak_epoch] = [0, 1, 2, 3].map(|index| address_of(&words, index));
    let on = std::ptr::from_ref(&on).addr();
    let (older, totals, frames, heap) = (0, WORD, 8 * WORD, 10 * WORD);
    let mut lying = good;
    lying.samples = SamplesDescriptor { on, mean, since, newest, peak_epoch, older, totals, frames, heap, parts: 0 };
    let read = samples::read(&process, &lying).unwrap().unwrap();
    let figure = 1_i64 << 47;
    assert_eq!((read.stacks.len(), read.stacks[0].frames.len(), read.stacks[0].values), (1, 128, [figure; 6]));
    assert_eq!(read.stacks[0].heap.as_deref(), Some("?[2J\u{fffd}"));
    for wild in [usize::MAX, 1 << 20] {
        for place in 0..4 {
            let mut lying = lying;
            let s = &mut lying.samples;
            *[&mut s.older, &mut s.totals, &mut s.frames, &mut s.heap][place] = wild;
            assert!(samples::read(&process, &lying).is_err());
        }
    }
    // Records that follow each other through all of a large memory.
    let mut chain = vec![0; 11 << 17];
    for index in 0..(1 << 17) - 1 {
        chain[index * 11] = address_of(&chain, (index + 1) * 11);
    }
    let words = [512, 1, chain.as_ptr().addr(), 0];
    lying.samples.newest = address_of(&words, 2);
    let start = Instant::now();
    let read = samples::read(&process, &lying).unwrap().unwrap();
    assert!(read.stacks.len() == 1 << 16 && start.elapsed() < LONGEST, "{:?}", start.elapsed());
}

#[test]
fn regions_that_say_anything_are_left_out_or_bounded() {
    let good = own();
    let mut dice = Dice(99);
    for round in 0..40 {
        let regions = 1 + dice.next() % 3000;
        let p = good.pages;
        let entries: Vec<usize> = (0..regions)
            .map(|_| match dice.next() % 5 {
                0 => 0,
                1 => p.large,
                2 => p.central + dice.next() % 200 * p.class_step,
                3 => (dice.next() & !(p.owner_align - 1)) | (dice.next() % p.owner_align),
                _ => dice.next(),
            })
            .collect();
        let records: Vec<usize> = (0..regions * p.record_bytes / WORD)
            .map(|_| if dice.next().is_multiple_of(3) { dice.next() } else { dice.next() % (2 * regions) })
            .collect();
        let border = [regions];
        let mut lying = good;
        lying.pages.entries = entries.as_ptr().addr();
        lying.pages.records = records.as_ptr().addr();
        lying.pages.borders[0] = border.as_ptr().addr();
        assert!(look(lying.words()), "round {round}");
    }
    // More regions than there is memory to hold them, of which every one reads as zero or not at all.
    for regions in [1 << 22, 1 << 28, u32::MAX as usize] {
        let border = [regions];
        let mut lying = good;
        (lying.pages.borders[0], lying.pages.bank_regions) = (border.as_ptr().addr(), 1 << 29);
        lying.pages.banks = 1;
        look(lying.words());
    }
}
