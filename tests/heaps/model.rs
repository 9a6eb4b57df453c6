//! Random programs with named heaps against a naive model: which blocks are live, with what contents, of which heap, who
//! uses which heaps, and what a limit lets pass.
//!
//! Knows: the contract. Must not know: how the library keeps it.

use core::ffi::c_int;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::calls::{Calls, FAILED, Order, Way, Word, Worker, bytes, usable};
use crate::steps::{Place, SLOTS, Step, THREADS, step};

/// Whether requests are sampled.
fn is_profiled() -> bool {
    std::env::var_os("SPANDREL_HEAP_PROFILE").is_some()
}

const LARGE: usize = 32 << 10;
/// Above this a block of the default heap is a mapping.
const DIRECT: usize = 32 << 20;
/// A span has at most so many bytes, and what comes with a block in a mode that adds something is less.
const SPAN_MAX: usize = 512 << 10;
/// Bytes at both ends of a block that hold a pattern.
const MARKED: usize = 64;

struct Heap {
    handle: Word,
    shared: bool,
    hard: usize,
    /// The bytes that it held when it was last looked at: a limit that was set below it refuses what is more.
    held: usize,
}

/// A live block; the heap is its handle, 0 for the default one.
#[derive(Clone, Debug)]
struct Block {
    size: usize,
    usable: usize,
    heap: Word,
    mark: u8,
}

struct World {
    calls: Calls,
    workers: Vec<Worker>,
    /// The heaps that each thread uses, the innermost last.
    stands: Vec<Vec<Word>>,
    heaps: [Option<Heap>; SLOTS],
    stale: [Word; SLOTS],
    /// By address.
    live: BTreeMap<Word, Block>,
    made: usize,
}

type Checked<T = ()> = Result<T, TestCaseError>;

/// Where a call of a thread leads: a handle, or the error that it has to end with.
type Target = Result<Word, c_int>;

impl World {
    fn new(calls: Calls) -> Self {
        Self {
            calls,
            workers: (0..THREADS).map(|_| Worker::start(calls)).collect(),
            stands: vec![Vec::new(); THREADS],
            heaps: [const { None }; SLOTS],
            stale: [0; SLOTS],
            live: BTreeMap::new(),
            made: 0,
        }
    }

    fn heap_of(&self, handle: Word) -> Option<&Heap> {
        self.heaps.iter().flatten().find(|heap| heap.handle == handle)
    }

    fn current(&self, thread: usize) -> Word {
        self.stands[thread].last().copied().unwrap_or(0)
    }

    /// Whether threads other than this one use the heap.
    fn used_beside(&self, thread: usize, handle: Word) -> bool {
        self.stands.iter().enumerate().any(|(other, stands)| other != thread && stands.contains(&handle))
    }

    fn is_used(&self, handle: Word) -> bool {
        self.stands.iter().any(|stands| stands.contains(&handle))
    }

    /// The handle to pass for a place, `None` for a plain call, and where that leads; nothing if no heap was ever there.
    fn target(&self, thread: usize, place: Place) -> Option<(Option<Word>, Target)> {
        match place {
            Place::Plain => Some((None, Ok(self.current(thread)))),
            Place::Default => Some((Some(0), Ok(0))),
            Place::Slot(slot) => match &self.heaps[slot] {
                Some(heap) if !heap.shared && self.used_beside(thread, heap.handle) => {
                    Some((Some(heap.handle), Err(libc::EBUSY)))
                }
                Some(heap) => Some((Some(heap.handle), Ok(heap.handle))),
                None if self.stale[slot] == 0 => None,
                None => Some((Some(self.stale[slot]), Err(libc::EINVAL))),
            },
        }
    }

    fn pick(&self, victim: usize) -> Option<Word> {
        let count = self.live.len();
        (count > 0).then(|| self.live.keys().nth(victim % count).copied()).flatten()
    }

    fn check_block(&self, at: Word) -> Checked {
        let block = &self.live[&at];
        let marked = block.size.min(MARKED);
        let (front, back) = (bytes(at, block.size), block.size - marked);
        let whole = front[..marked].iter().chain(&front[back..]).all(|&byte| byte == block.mark);
        prop_assert!(whole, "block {at:x} lost its contents: {block:?}");
        prop_assert_eq!(self.calls.of(at), block.heap, "heap of {:x} {:?}", at, block);
        Ok(())
    }

    /// Takes a block into the model that was handed out just now.
    fn admit(&mut self, at: Word, size: usize, heap: Word) -> Checked {
        let usable = usable(at);
        prop_assert!(usable >= size);
        let before = self.live.range(..at + usable).next_back();
        prop_assert!(before.is_none_or(|(start, other)| start + other.usable <= at), "{at:x} lies over {before:x?}");
        self.made += 1;
        let (mark, marked) = (self.made as u8, size.min(MARKED));
        let all = bytes(at, size);
        all[..marked].fill(mark);
        all[size - marked..].fill(mark);
        self.live.insert(at, Block { size, usable, heap, mark });
        let seen = self.calls.of(at);
        prop_assert_eq!(seen, heap, "a new block of {} bytes is of another heap", size);
        Ok(())
    }

    /// A refusal is right only where one more span, or the large block, would have been too much.
    fn check_refusal(&self, target: Target, size: usize, errno: c_int) -> Checked {
        let handle = match target {
            Err(error) => {
                prop_assert_eq!(errno, error);
                return Ok(());
            }
            Ok(handle) => handle,
        };
        prop_assert_eq!(errno, libc::ENOMEM, "{:?} for {} bytes", target, size);
        let bill = self.calls.bill(handle).map_err(|error| TestCaseError::fail(format!("stats: {error}")))?;
        prop_assert!(bill.hard != 0 && bill.refusals > 0, "refused without a limit: {bill:?}");
        prop_assert!(bill.held + size + SPAN_MAX > bill.hard, "{size} bytes refused: {bill:?}");
        Ok(())
    }

    fn alloc(&mut self, thread: usize, place: Place, way: Way, size: usize) -> Checked<bool> {
        let Some((heap, target)) = self.target(thread, place) else { return Ok(false) };
        let (block, errno) = self.workers[thread].ask(Order::Alloc { heap, way, size });
        if block == 0 {
            self.check_refusal(target, size, errno)?;
            return Ok(false);
        }
        prop_assert!(target.is_ok(), "served, and {target:?} is right");
        match way {
            Way::Malloc => {}
            Way::Calloc => prop_assert!(bytes(block, size).iter().all(|&byte| byte == 0)),
            Way::Aligned(to) => prop_assert_eq!(block % to, 0),
        }
        self.admit(block, size, target.unwrap_or(0))?;
        Ok(true)
    }

    fn free(&mut self, thread: usize, at: Word) -> Checked {
        self.check_block(at)?;
        self.live.remove(&at);
        self.workers[thread].ask(Order::Free(at));
        Ok(())
    }

    fn realloc(&mut self, thread: usize, place: Place, at: Word, size: usize) -> Checked {
        let Some((heap, target)) = self.target(thread, place) else { return Ok(()) };
        self.check_block(at)?;
        let old = self.live[&at].clone();
        let (block, errno) = self.workers[thread].ask(Order::Realloc { heap, block: at, size });
        if block == 0 {
            // In place it is its own heap that may refuse.
            if self.check_refusal(target, size, errno).is_err() {
                prop_assert!(heap.is_none());
                self.check_refusal(Ok(old.heap), size, errno)?;
            }
            return self.check_block(at);
        }
        prop_assert!(target.is_ok(), "served, and {target:?} is right");
        self.live.remove(&at);
        let kept = old.size.min(size).min(MARKED);
        prop_assert!(bytes(block, size)[..kept].iter().all(|&byte| byte == old.mark), "realloc lost contents");
        let stays = heap.is_none() && block == at;
        self.admit(block, size, if stays { old.heap } else { target.unwrap_or(0) })
    }

    fn move_to(&mut self, thread: usize, place: Place, at: Word) -> Checked {
        let Some((Some(heap), target)) = self.target(thread, place) else { return Ok(()) };
        self.check_block(at)?;
        let old = self.live[&at].clone();
        let (block, errno) = self.workers[thread].ask(Order::Move { heap, block: at });
        if block == 0 {
            // A large block does not need the heap, but room below its limit.
            let is_large = old.usable > LARGE || is_profiled();
            let target =
                if is_large && target == Err(libc::EBUSY) && errno == libc::ENOMEM { Ok(heap) } else { target };
            self.check_refusal(target, old.usable, errno)?;
            return self.check_block(at);
        }
        // The bill of a large block changes also while another thread uses the heap.
        let target = if target == Err(libc::EBUSY) && block == at { heap } else { target.unwrap_or(FAILED) };
        prop_assert!(target != FAILED, "moved where that is an error");
        // A mapping of the default heap's own is copied.
        prop_assert!(old.size <= LARGE || old.size > DIRECT || block == at, "a large block stays where it is");
        self.live.remove(&at);
        let kept = old.size.min(MARKED);
        prop_assert!(bytes(block, old.size)[..kept].iter().all(|&byte| byte == old.mark), "move lost contents");
        self.admit(block, old.size, target)
    }

    fn use_heap(&mut self, thread: usize, slot: Option<usize>) -> Checked {
        let Some((handle, target)) = self.target(thread, slot.map_or(Place::Default, Place::Slot)) else {
            return Ok(());
        };
        let before = self.current(thread);
        let (result, errno) = self.workers[thread].ask(Order::Use(handle.unwrap_or(0)));
        match target {
            Err(error) => prop_assert_eq!((result, errno), (FAILED, error)),
            Ok(handle) => {
                prop_assert_eq!(result, before, "errno {}", errno);
                let stands = &mut self.stands[thread];
                match stands.iter().position(|&below| below == handle) {
                    _ if handle == 0 => stands.clear(),
                    Some(below) => stands.truncate(below + 1),
                    None => stands.push(handle),
                }
            }
        }
        prop_assert_eq!(self.workers[thread].ask(Order::Current).0, self.current(thread));
        Ok(())
    }

    /// Ends the heap of a slot, and its blocks with it, or gives them to the default heap.
    fn end_heap(&mut self, slot: usize, softly: bool) -> Checked {
        let Some(handle) = self.heaps[slot].as_ref().map(|heap| heap.handle) else { return Ok(()) };
        let error = if softly { self.calls.delete(handle) } else { self.calls.destroy(handle) };
        if self.is_used(handle) {
            prop_assert_eq!(error, libc::EBUSY);
            return Ok(());
        }
        prop_assert_eq!(error, 0);
        self.heaps[slot] = None;
        self.stale[slot] = handle;
        if softly {
            self.live.values_mut().filter(|block| block.heap == handle).for_each(|block| block.heap = 0);
        } else {
            self.live.retain(|_, block| block.heap != handle);
        }
        prop_assert_eq!(self.calls.bill(handle).err(), Some(libc::EINVAL));
        Ok(())
    }

    fn create(&mut self, slot: usize, shared: bool, hard: usize) -> Checked {
        if self.heaps[slot].is_some() {
            return Ok(());
        }
        let handle = self.calls.create(shared, hard);
        prop_assert!(handle != 0 && handle != FAILED);
        prop_assert!(!self.stale.contains(&handle) && self.heap_of(handle).is_none(), "a handle was used before");
        self.heaps[slot] = Some(Heap { handle, shared, hard, held: 0 });
        Ok(())
    }

    fn carry_out(&mut self, step: &Step) -> Checked {
        match *step {
            Step::Create { slot, shared, hard } => self.create(slot, shared, hard),
            Step::Destroy { slot } => self.end_heap(slot, false),
            Step::Delete { slot } => self.end_heap(slot, true),
            Step::Limit { slot, hard } => {
                let Some(heap) = &mut self.heaps[slot] else { return Ok(()) };
                heap.hard = hard;
                prop_assert_eq!(self.calls.set_hard(heap.handle, hard), 0);
                Ok(())
            }
            Step::Use { thread, slot } => self.use_heap(thread, slot),
            Step::Alloc { thread, place, way, size } => self.alloc(thread, place, way, size).map(drop),
            Step::AllocMany { thread, place, size, count } => {
                for _ in 0..count {
                    if !self.alloc(thread, place, Way::Malloc, size)? {
                        break;
                    }
                }
                Ok(())
            }
            Step::Free { thread, victim } => self.pick(victim).map_or(Ok(()), |at| self.free(thread, at)),
            Step::FreeMany { thread, victim, count } => {
                let from = self.pick(victim).unwrap_or(0);
                let blocks: Vec<Word> = self.live.range(from..).take(count).map(|(&at, _)| at).collect();
                blocks.into_iter().try_for_each(|at| self.free(thread, at))
            }
            Step::Realloc { thread, place, victim, size } => {
                self.pick(victim).map_or(Ok(()), |at| self.realloc(thread, place, at, size))
            }
            Step::Move { thread, place, victim } => {
                self.pick(victim).map_or(Ok(()), |at| self.move_to(thread, place, at))
            }
            Step::Safepoint { thread } => {
                self.workers[thread].ask(Order::Safepoint);
                Ok(())
            }
            Step::Collect { thread } => {
                self.workers[thread].ask(Order::Collect);
                Ok(())
            }
            Step::End { thread } => {
                self.workers[thread] = Worker::start(self.calls);
                self.stands[thread].clear();
                Ok(())
            }
        }
    }

    /// Small blocks: bills do not count others. With a heap profile a block at the start of a region may be sampled, and
    /// then it is a large one.
    fn count(&self, handle: Word) -> usize {
        let is_small = |at: Word, usable: usize| usable <= LARGE && !(is_profiled() && at.is_multiple_of(LARGE));
        self.live.iter().filter(|(at, block)| block.heap == handle && is_small(**at, block.usable)).count()
    }

    /// The rules that hold between any two calls.
    fn check(&mut self) -> Checked {
        for slot in 0..SLOTS {
            let Some(handle) = self.heaps[slot].as_ref().map(|heap| heap.handle) else { continue };
            let bill = self.calls.bill(handle).map_err(|error| TestCaseError::fail(format!("stats: {error}")))?;
            let users = self.stands.iter().filter(|stands| stands.contains(&handle)).count();
            prop_assert_eq!(bill.held, bill.spans + bill.large, "{:?}", bill);
            prop_assert!(bill.peak >= bill.held && bill.live_bytes <= bill.held, "{bill:?}");
            prop_assert!(
                bill.live_blocks >= self.count(handle),
                "{bill:?}: {} are live: {:x?}",
                self.count(handle),
                self.live.iter().filter(|(_, b)| b.heap == handle).collect::<Vec<_>>()
            );
            prop_assert_eq!((bill.users, bill.soft), (users, 0), "{:?}", bill);
            let Some(heap) = &mut self.heaps[slot] else { continue };
            prop_assert_eq!(bill.hard, heap.hard);
            let most = if heap.hard == 0 { usize::MAX } else { heap.hard.max(heap.held) };
            prop_assert!(bill.held <= most, "{bill:?}: {} were held before", heap.held);
            heap.held = bill.held;
        }
        Ok(())
    }

    /// All threads leave their heaps; every block is there, and bills are exact then.
    fn finish(&mut self) -> Checked {
        for thread in 0..THREADS {
            if thread % 2 == 0 {
                self.use_heap(thread, None)?;
                self.workers[thread].ask(Order::Safepoint);
            } else {
                self.carry_out(&Step::End { thread })?;
            }
        }
        for at in self.live.keys().copied().collect::<Vec<_>>() {
            self.check_block(at)?;
        }
        let mut listed = self.calls.list();
        let mut own: Vec<Word> = self.heaps.iter().flatten().map(|heap| heap.handle).collect();
        listed.sort_unstable();
        own.sort_unstable();
        prop_assert_eq!(listed, own);
        // Batches may lie with any of them. Of several parts one is used here, and not the others; and blocks in
        // quarantine count as live.
        let mut is_exact = std::env::var("SPANDREL_MODE").as_deref() != Ok("hardened") && !is_profiled();
        for heap in self.heaps.iter().flatten() {
            let bill = self.calls.settled(heap.handle).map_err(|error| TestCaseError::fail(format!("use: {error}")))?;
            is_exact &= bill.parts <= 1;
        }
        for slot in 0..SLOTS {
            let Some(handle) = self.heaps[slot].as_ref().map(|heap| heap.handle) else { continue };
            let bill = self.calls.settled(handle).map_err(|error| TestCaseError::fail(format!("use: {error}")))?;
            let (seen, own) = (bill.live_blocks, self.count(handle));
            prop_assert!(seen == own || seen > own && !is_exact, "{own} are live: {bill:?}");
            self.end_heap(slot, slot % 2 == 0)?;
        }
        for at in self.live.keys().copied().collect::<Vec<_>>() {
            self.free(at % THREADS, at)?;
        }
        prop_assert_eq!(self.calls.list(), Vec::<Word>::new());
        Ok(())
    }
}

fn run(calls: Calls, steps: &[Step]) -> Checked {
    let mut world = World::new(calls);
    let result = steps.iter().try_for_each(|step| {
        world.carry_out(step)?;
        world.check()
    });
    let result = result.and_then(|()| world.finish());
    if result.is_err() {
        // The next program begins without heaps, and without threads that use one.
        world.workers.clear();
        for handle in calls.list() {
            let _ = calls.destroy(handle);
        }
    }
    result
}

/// Runs so many random programs; the smallest one that fails, if any does.
pub(crate) fn check(cases: u32, seed: u64) -> Result<(), String> {
    let calls = Calls::of_process()?;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let programs = prop::collection::vec(step(), 1..250);
    runner.run(&programs, |steps| run(calls, &steps)).map_err(|error| match error {
        TestError::Fail(reason, steps) => format!("{steps:?}\nseed {seed}: {reason}"),
        other @ TestError::Abort(_) => format!("seed {seed}: {other}"),
    })
}
