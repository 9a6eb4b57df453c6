//! The heap profile of this process: when requests are sampled, when dumps are written and where.

use core::ffi::{CStr, c_int, c_void};

use super::outside::attend;
use super::{About, DEPTH, Profile, objects};
use crate::base::lane::Lane;
use crate::config::{Account, Options};
use crate::diag::{self, Code};
use crate::heap::{Heap, SampledBy};
use crate::process::feature::{Feature, Order};
use crate::process::holders::{self, NAME_BYTES};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::mode;
use crate::slow_path::request::{Moved, Request};
use crate::slow_path::sampled::{self, Sampler};
use crate::slow_path::table;
use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sys::lock::Patience;
use crate::sys::output::Path;
use crate::sys::{call, libc, signal};
use crate::unwind;

pub(crate) use super::outside::outside;

/// A peak is dumped when it is above the last one that was by one part in this many.
const PEAK_STEP: u64 = 8;
/// No dump is due. Zero, as all else of a profile that never began: it takes no place in the file of the library.
const NEVER: u64 = 0;

/// The profile, and its switches. Any thread writes and reads the atomic fields, and may see old values.
pub(super) struct Profiling {
    pub(super) profile: Profile,
    /// Whether samples are taken.
    pub(super) on: AtomicBool,
    /// Bytes between samples, on average.
    pub(super) mean: AtomicUsize,
    /// When samples were first taken, in nanoseconds since 1970; 0 for never.
    pub(super) since: AtomicU64,
    /// Dumps so far, and whether one is being written.
    dumps: AtomicU32,
    dumping: AtomicBool,
    /// Bytes asked for, and live, at which the next dump is due.
    next_asked: AtomicU64,
    next_peak: AtomicU64,
}

impl Profiling {
    const fn new() -> Self {
        Self {
            profile: Profile::new(),
            on: AtomicBool::new(false),
            mean: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            dumps: AtomicU32::new(0),
            dumping: AtomicBool::new(false),
            next_asked: AtomicU64::new(NEVER),
            next_peak: AtomicU64::new(NEVER),
        }
    }

    fn is_on(&self) -> bool {
        // Relaxed: a switch, which threads follow one after the other.
        self.on.load(Ordering::Relaxed)
    }

    fn mean(&self) -> usize {
        // Relaxed: as in `is_on`.
        self.mean.load(Ordering::Relaxed)
    }
}

pub(super) static PROFILING: Profiling = Profiling::new();

static SAMPLER: Sampler = Sampler { sample, freed, resized, bill_of: |_| None, take_off_bill: |_, _, _| None };

pub(super) static FEATURE: Feature = Feature {
    attend: Some(attend),
    locks: Some((Order::BeforeCentral, lock_for_fork, unlock_after_fork)),
    in_child: Some(forget_writer),
    ..Feature::NONE
};

fn lock_for_fork(patience: &Patience) {
    PROFILING.profile.lock_for_fork(patience);
}

fn unlock_after_fork() {
    PROFILING.profile.unlock_after_fork();
}

/// In the child of a fork no other thread is writing.
fn forget_writer(inside: bool) {
    if !inside {
        // Relaxed: the child has one thread.
        PROFILING.dumping.store(false, Ordering::Relaxed);
    }
}

/// Why there is no profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoProfile {
    /// Requests cannot be sampled in this process: libc or a mode serves them.
    Unsampled,
    /// Another dump is being written, or samples were never taken.
    NotNow,
    /// The file cannot be written: the error number.
    File(i32),
}

impl NoProfile {
    /// The error number that programs and tools outside the process get.
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Unsampled => ::libc::ENOTSUP,
            Self::NotNow => ::libc::EBUSY,
            Self::File(error) => error,
        }
    }
}

/// Prepares the profile as the options say. `sampled` is whether the mode lets requests be sampled. Part of the start.
pub(crate) fn prepare(options: &Options, sampled: bool) {
    if sampled {
        sampled::register(&SAMPLER);
        PROCESS.features.register(&FEATURE);
    }
    if options.heap_profile.is_some() || options.account == Account::Object {
        prepare_slow(options, sampled);
    }
}

/// As [`prepare`], where a profile is asked for.
#[cold]
#[inline(never)]
fn prepare_slow(options: &Options, sampled: bool) {
    let profiling = &PROFILING;
    let by_object = options.account == Account::Object;
    if !sampled {
        let name: &[u8] = if by_object { b"SPANDREL_ACCOUNT=object" } else { b"SPANDREL_HEAP_PROFILE" };
        return diag::line(Code::BadOption, &[name, b": needs mode fast or counting; ignored"]);
    }
    if by_object {
        objects::begin();
    }
    // Relaxed: the start barrier publishes all of it.
    profiling.mean.store(options.heap_profile_rate, Ordering::Relaxed);
    if let Some(bytes) = options.heap_profile_every {
        profiling.next_asked.store(bytes as u64, Ordering::Relaxed);
    }
    if options.heap_profile_peaks {
        profiling.next_peak.store(options.heap_profile_rate as u64, Ordering::Relaxed);
    }
    if let Some(number) = options.heap_profile_signal {
        listen(number);
    }
    if options.heap_profile_ends {
        mind_end(::libc::SIGTERM);
        mind_end(::libc::SIGHUP);
    }
    if !options.heap_profile_wait {
        switch_on(options.heap_profile_rate);
    }
}

/// Has the signal `number` ask for dumps, unless the program has its own use for it.
#[cold]
#[inline(never)]
fn listen(number: c_int) {
    if !signal::handle_if_free(number, on_signal, ::libc::SA_RESTART) {
        let what = "SPANDREL_HEAP_PROFILE_SIGNAL: the program has its own use for that signal; it stays so";
        diag::once(Code::ReportOutput, what);
    }
}

/// Has the signal `number` write a dump before it ends the process. A program that has a use for it keeps that.
fn mind_end(number: c_int) {
    let _ = signal::handle_if_free(number, on_end, 0);
}

fn switch_on(mean: usize) {
    let profiling = &PROFILING;
    // Relaxed: as in `Profiling::is_on`.
    profiling.mean.store(mean, Ordering::Relaxed);
    profiling.on.store(true, Ordering::Relaxed);
    let _ = profiling.since.compare_exchange(0, call::nanoseconds_of_day(), Ordering::Relaxed, Ordering::Relaxed);
    PROCESS.registry.sampling.switch(mean, SampledBy::Bytes);
}

/// Starts to take samples, every `mean` bytes on average; 0 for the rate of the options.
pub(crate) fn start(mean: usize) -> Result<(), NoProfile> {
    if !PROCESS.is_ready() || !table::can_sample() {
        return Err(NoProfile::Unsampled);
    }
    switch_on(if mean == 0 { PROCESS.options().heap_profile_rate } else { mean });
    follow();
    Ok(())
}

/// Takes no more samples. A sampled block stays in the profile until it is freed.
pub(crate) fn stop() {
    if PROCESS.is_ready() && PROFILING.is_on() {
        PROFILING.on.store(false, Ordering::Relaxed);
        PROCESS.registry.sampling.switch(0, SampledBy::Bytes);
        follow();
    }
}

/// Has the calling thread follow a switch at once; others follow at their next slow event.
fn follow() {
    if let HeapAccess::Own(heap) = thread::access() {
        heap.follow_sampling(&PROCESS.registry.sampling);
    }
}

/// Writes a dump to `path`, or to the file of the options. `ends` is whether the process ends by itself.
pub(crate) fn dump(path: Option<&CStr>, ends: bool) -> Result<(), NoProfile> {
    let profiling = &PROFILING;
    // Relaxed: a number that is set once.
    if !PROCESS.is_ready() || profiling.since.load(Ordering::Relaxed) == 0 {
        return Err(NoProfile::NotNow);
    }
    // Acquire pairs with the Release below: one dump ends before the next begins.
    if profiling.dumping.swap(true, Ordering::Acquire) {
        return Err(NoProfile::NotNow);
    }
    // Relaxed: a number.
    let number = profiling.dumps.fetch_add(1, Ordering::Relaxed);
    let mut chosen = Path::new();
    let written = match path.or_else(|| name_file(&mut chosen, u64::from(number) + 1)) {
        Some(path) => super::write(&profiling.profile, path, &about(ends)),
        None => Err(::libc::ENAMETOOLONG),
    };
    // Release pairs with the Acquire above.
    profiling.dumping.store(false, Ordering::Release);
    written.map_err(NoProfile::File)
}

fn about(ends: bool) -> About {
    let time = call::nanoseconds_of_day();
    // Relaxed: a number that is set once.
    let since = PROFILING.since.load(Ordering::Relaxed);
    About { period: PROFILING.mean(), time, duration: time.saturating_sub(since), ends }
}

/// Puts the path of the option into `name`, its places filled in. A path without places is the beginning of a name.
fn name_file(name: &mut Path, number: u64) -> Option<&CStr> {
    let pattern = PROCESS.options().heap_profile.as_ref().map_or(&b"spandrel-heap"[..], |path| path.bytes());
    name.fill_in(pattern, number);
    if !pattern.contains(&b'%') {
        name.fill_in(b".%p.%n.pb.gz", number);
    }
    name.finish()
}

/// Writes a dump for which no caller waits; one line if that fails.
fn dump_unasked(ends: bool) {
    if let Err(NoProfile::File(error)) = dump(None, ends) {
        let describe = |line: &mut crate::base::text::Line| {
            line.text("SPANDREL_HEAP_PROFILE: error ").number(error as u64).text(", the dump is left out");
        };
        diag::described(Code::ReportOutput, describe, |bytes| PROCESS.reports.write(bytes));
    }
}

/// Writes the last dump, when the process ends.
pub(crate) fn end(options: &Options) {
    if options.heap_profile.is_some() && PROFILING.since.load(Ordering::Relaxed) != 0 {
        dump_unasked(true);
    }
}

/// Starts the profile if it waits, else writes a dump. Allocates nothing and takes no lock.
extern "C" fn on_signal(_: c_int, _: &mut signal::Info, _: *mut c_void) {
    libc::keeping_errno(|| {
        if PROCESS.is_ready() {
            // Not from the start: interpreters make SIGINT an exception only where its action is the default then.
            if PROCESS.options().heap_profile_ends {
                mind_end(::libc::SIGINT);
            }
            if PROFILING.is_on() { dump_unasked(false) } else { switch_on(PROFILING.mean()) }
        }
    });
}

/// Writes a dump, and has the signal end the process. Allocates nothing and takes no lock.
extern "C" fn on_end(number: c_int, _: &mut signal::Info, _: *mut c_void) {
    libc::keeping_errno(|| {
        if PROCESS.is_ready() && PROFILING.is_on() {
            dump_unasked(false);
        }
    });
    signal::end_process(number);
}

/// Allocates a sampled block: a run of its own whatever its size, so that its free takes the slow path, which finds the
/// ticket.
#[cold]
#[inline(never)]
fn sample(heap: &Heap, request: Request) -> Option<*mut u8> {
    if !PROFILING.is_on() {
        return None;
    }
    heap.attend(PROCESS.shared());
    let bank = heap.current_bank(PROCESS.central.pages.space());
    let fresh = match mode::class_of(request) {
        Some(class) => PROCESS.central.alloc_small_apart(class.size(), request.align, bank, heap.bill()),
        None => PROCESS.central.alloc_billed(request.size, request.align, bank, heap.bill()),
    }?;
    let ticket = note(heap, request.size, request.size);
    PROCESS.central.set_ticket(fresh.address(), fresh.lane() == Lane::Direct, ticket);
    let block = mode::hand_out(fresh, request);
    dump_if_due();
    Some(block)
}

/// Adds a sample of `asked` bytes, for which there is a block of `size` bytes of `heap`, to the profile: the ticket.
fn note(heap: &Heap, asked: usize, size: usize) -> u32 {
    let mut frames = [0; DEPTH];
    let len = unwind::capture(0, &mut frames);
    let frames = frames.get(..len).unwrap_or(&[]);
    let mut name = [0; NAME_BYTES];
    if let Some(bill) = heap.bill() {
        // A heap that is gone has no name any more.
        let _ = holders::name_of(holders::heap_of_bill(bill), &mut name);
    }
    PROFILING.profile.add(&PROCESS.central.pages, (&name, frames), (asked, size), PROFILING.mean())
}

/// Takes the block of `ticket`, which was freed, out of the profile.
fn freed(ticket: u32) {
    PROFILING.profile.remove(ticket);
}

/// Notes that a block was resized without a copy. The bytes by which it grew count as a request.
fn resized(moved: &Moved) {
    let profiling = &PROFILING;
    let asked = moved.size.saturating_sub(moved.old);
    if moved.ticket != 0 {
        return profiling.profile.resize(moved.ticket, (asked, moved.size), profiling.mean());
    }
    if !profiling.is_on() || asked == 0 {
        return;
    }
    if let HeapAccess::Own(heap) = thread::access()
        && heap.is_sample(asked)
    {
        PROCESS.central.set_ticket(moved.address, moved.direct, note(&heap, asked, moved.size));
    }
}

fn dump_if_due() {
    let profiling = &PROFILING;
    // Relaxed: figures. Two threads that both find a dump due write one, for one of them finds the other writing.
    let asked = profiling.profile.asked.load(Ordering::Relaxed);
    let due = profiling.next_asked.load(Ordering::Relaxed);
    let every = PROCESS.options().heap_profile_every.unwrap_or(0) as u64;
    if due != NEVER && asked >= due {
        profiling.next_asked.store(asked + every, Ordering::Relaxed);
        return dump_unasked(false);
    }
    let live = profiling.profile.live.load(Ordering::Relaxed);
    let peak = profiling.next_peak.load(Ordering::Relaxed);
    if peak != NEVER && live >= peak {
        profiling.next_peak.store(live + live / PEAK_STEP, Ordering::Relaxed);
        dump_unasked(false);
    }
}
