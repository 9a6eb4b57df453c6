#![expect(unsafe_code, reason = "opens the store and sets the options")]
//! Start: reads the environment, reserves address space, puts the mode into force, and has features register.
//!
//! ld.so may call malloc before it runs any constructor. So the start registers the fork handlers, unless that is done
//! already, and the constructor or the first heap, the earlier of the two, makes the key for thread exit. The C
//! library's tables for both are static.

use super::conf;
use crate::account;
use crate::base::units::GIB;
use crate::config::{self, Account, CacheBytes, Complaint, HugePages, IdleReturn, Limit, Numa, OnError, Options};
use crate::diag::{self, Code, Policy};
use crate::modes::counting::COUNTING;
use crate::modes::custom::{self, CUSTOM};
use crate::modes::guarded::{self, GUARDED};
use crate::modes::hardened::{self, HARDENED};
use crate::modes::tracked::{self, TRACKED};
use crate::pages::limits::UNLIMITED;
use crate::pages::{HUGE_BYTES, Huge, Placement, Space, Unit};
use crate::process::barrier::Phase;
use crate::process::state::{PROCESS, Process};
use crate::process::{background, fork, thread};
use crate::profile::sampling;
use crate::slow_path::exhaustion;
use crate::slow_path::table::{self, LIBC, ModeTable};
use crate::stats::{descriptor, leaks, report};
use crate::sys::startup::Startup;
use crate::sys::{lock, memory, tool};

const CACHE_BYTES_PER_PROCESSOR: usize = 256 << 10;
/// One part in this many of a container's memory lies above the soft limit, for the program's code, its stacks and
/// libc.
const SPARE_SOFT: usize = 8;
/// One part in this many of a container's memory lies above the hard limit.
const SPARE_HARD: usize = 16;
const PAGE_BYTES_USUAL: usize = 4096;
/// The reservation under an emulator. QEMU up to version 7 keeps 24 bytes for each page of a program's address space,
/// which are 24 MiB for this much.
const RESERVE_EMULATED: usize = 4 * GIB;

/// Starts the process, unless another thread has begun to, or this call comes from inside the allocator.
pub(crate) fn ensure() {
    if PROCESS.barrier.phase() == Phase::Yours {
        thread::while_starting(|| {
            fork::hook();
            if PROCESS.barrier.enter() == Phase::Yours {
                PROCESS.barrier.finish(start(&PROCESS));
            }
        });
    }
}

/// Makes the process ready. False if libc has to serve everything.
fn start(process: &Process) -> bool {
    let startup = Startup::find();
    let options = match startup {
        Some(startup) if !startup.is_secure() && config::any(startup) => read_options(startup),
        _ => config::read(core::iter::empty(), |_, _| {}),
    };
    answer_misuse(&options);
    // SAFETY: `Barrier::enter` returned `Yours`, which it does to one thread, once, before any thread has a heap.
    unsafe { lock::when_lost(fork::end_process) };
    process.tally.set_range(options.diag_range);
    let page = startup.map_or(PAGE_BYTES_USUAL, Startup::page_bytes);
    let mode = if options.mode() == config::ModeName::Fast { None } else { chosen(&options, page) };
    let reports = options.stats || options.stats_every > 0 || options.stats_signal.is_some() || options.crash_report;
    if options.diag > 0 || reports || options.leaks || options.heap_profile.is_some() || mode.is_some() {
        process.reports.open();
    }
    if options.leaks {
        leaks::watch_status();
    }
    // SAFETY: `Barrier::enter` returned `Yours`, which it does to one thread, once.
    unsafe { process.set_options(options) };
    if options.mode() == config::ModeName::Libc {
        table::put_into_force(mode);
        return false;
    }
    let set_bounds = || process.set_bounds(options.pool.is_some(), options.hard_limit != Limit::None);
    let shadow = mode.and_then(|mode| mode.shadow);
    let Some(mut space) = reserve_for_mode(&options, page, shadow) else {
        set_bounds();
        report_refusal(&options);
        table::put_into_force(Some(&LIBC));
        return false;
    };
    place(&mut space, options.numa);
    // SAFETY: `Barrier::enter` returned `Yours`, which it does to one thread, once; no heap uses the store before.
    unsafe { process.central.pages.open(space, options.purge_delay) };
    if options.pool.is_some() {
        prepare_pool(process, &options);
    } else {
        process.central.pages.set_prefault(options.prefault);
        if (options.soft_limit, options.hard_limit) != (Limit::None, Limit::None) {
            limit(process, &options);
        }
    }
    process.central.set_cache_bytes(match options.cache_bytes {
        CacheBytes::Bytes(bytes) => bytes,
        CacheBytes::PerProcessor => cache_bytes_of_processors(),
    });
    if matches!(options.mode(), config::ModeName::Fast | config::ModeName::Counting) {
        process.central.pages.open_cache();
    }
    register_features(&options);
    sampling::prepare(&options, mode.is_none_or(|mode| mode.profiled));
    descriptor::describe(process, sampling::outside());
    // Last, because with bounds libc refuses to serve: other threads need it until the start is over.
    set_bounds();
    table::put_into_force(mode);
    true
}

/// Has misuse answered as the options say.
fn answer_misuse(options: &Options) {
    diag::set_policy(match options.on_error {
        OnError::Abort => Policy::Abort,
        OnError::Report => Policy::Report,
        OnError::Ignore => Policy::Ignore,
    });
    diag::set_stacks(options.error_frames, options.symbolizer);
}

/// The bytes of all transfer caches where each processor adds its share.
#[cold]
#[inline(never)]
fn cache_bytes_of_processors() -> usize {
    CACHE_BYTES_PER_PROCESSOR * config::processors()
}

/// Registers the features that `options` ask for. The mode registers its own (`chosen`), the heap profile too.
fn register_features(options: &Options) {
    table::register();
    report::register(options);
    if options.idle_return == IdleReturn::Thread {
        background::register();
    }
    if options.account != Account::Off {
        account::register(options);
    }
}

/// Reports that the kernel refuses the address space to start with.
#[cold]
fn report_refusal(options: &Options) {
    exhaustion::explain_refusal();
    let what = match options.pool {
        Some(_) => "no memory for the pool; every call fails",
        None => "no address space to start with; libc serves everything",
    };
    diag::once(Code::Exhaustion, what);
}

/// Places the pages on NUMA nodes, if the options ask for it.
fn place(space: &mut Space, numa: Numa) {
    if numa != Numa::Off {
        place_slow(space, numa);
    }
}

/// Places the pages as `numa` says.
#[cold]
#[inline(never)]
fn place_slow(space: &mut Space, numa: Numa) {
    let placement = Placement::of(numa).ok_or("no such node; the process's policy places the pages");
    if let Err(what) = placement.and_then(|placement| space.place(placement)) {
        let is_ours = |entry: &&[u8]| entry.starts_with(b"SPANDREL_NUMA=");
        let entry = Startup::find().and_then(|startup| startup.environment().filter(is_ours).last());
        diag::line(Code::NumaPolicy, &[entry.unwrap_or(b"SPANDREL_NUMA"), b": ", what.as_bytes()]);
    }
}

/// Sets the limits that the options, or the container, have.
#[cold]
#[inline(never)]
fn limit(process: &Process, options: &Options) {
    let container = config::memory_limit();
    let bytes = |limit, spare| match limit {
        Limit::None => UNLIMITED,
        Limit::Container => container.map_or(UNLIMITED, |whole| whole - whole / spare),
        Limit::Bytes(bytes) => bytes,
    };
    process.central.pages.limits.set(bytes(options.soft_limit, SPARE_SOFT), bytes(options.hard_limit, SPARE_HARD));
}

/// Makes the pages of the pool present and locks them, if the options ask for it.
#[cold]
#[inline(never)]
fn prepare_pool(process: &Process, options: &Options) {
    let pages = &process.central.pages;
    pages.make_pool_present(options.prefault);
    if options.lock && !pages.space().lock() {
        diag::line(Code::PoolPolicy, &[b"SPANDREL_LOCK=1: the kernel refuses (see ulimit -l); the pool is not locked"]);
    }
}

/// The bytes of address space to reserve. Little under an emulator, which may keep a note of every page of it, unless
/// the environment says how much.
fn wanted(options: &Options) -> usize {
    if tool::is_emulated() { wanted_emulated(options) } else { options.reserve }
}

#[cold]
#[inline(never)]
fn wanted_emulated(options: &Options) -> usize {
    let is_set = Startup::find().is_some_and(|startup| startup.variable(b"SPANDREL_RESERVE=").is_some());
    if is_set { options.reserve } else { options.reserve.min(RESERVE_EMULATED) }
}

/// Reserves address space.
fn reserve(options: &Options, page: usize) -> Option<Space> {
    if options.pool.is_none() && !options.fixed_address && options.huge_pages == HugePages::Off {
        return Space::reserve(wanted(options), page);
    }
    reserve_slow(options, page)
}

/// Reserves address space, with a shadow if the mode has one.
fn reserve_for_mode(options: &Options, page: usize, shadow: Option<Unit>) -> Option<Space> {
    match shadow {
        None => reserve(options, page),
        Some(unit) => reserve_shadowed(options, page, unit),
    }
}

/// Reserves address space with a shadow of such units.
#[cold]
#[inline(never)]
fn reserve_shadowed(options: &Options, page: usize, unit: Unit) -> Option<Space> {
    reserve(options, page)?.with_shadow(unit)
}

/// Reserves address space for a pool, at a fixed address, or with the huge pages that the options ask for.
#[cold]
#[inline(never)]
fn reserve_slow(options: &Options, page: usize) -> Option<Space> {
    if let Some(bytes) = options.pool {
        return Space::reserve_pool(bytes, page);
    }
    let wanted = wanted(options);
    if options.fixed_address {
        if let Some(space) = Space::reserve_fixed_address(wanted, page) {
            return Some(space);
        }
        diag::line(Code::BadOption, &[b"SPANDREL_FIXED_ADDRESS=1: the address is taken; the reservation is elsewhere"]);
    }
    let huge = match options.huge_pages {
        HugePages::Off => return Space::reserve(wanted, page),
        HugePages::Madvise => Huge::from(options.huge_from).within(options.huge_within),
        HugePages::Thp => Huge::from(0),
        HugePages::Table => return Space::reserve_explicit(wanted, page, HUGE_BYTES),
        HugePages::GiantTable => return Space::reserve_explicit(wanted, page, GIB),
    };
    let space = Space::reserve(wanted, page)?;
    if memory::has_huge_pages() {
        return Some(space.with_huge(huge));
    }
    diag::line(Code::HugePagePolicy, &[b"the kernel's setting is never; ordinary pages are used"]);
    Some(space)
}

/// Whether the environment has any option of Spandrel.
pub(crate) fn has_options() -> bool {
    Startup::find().is_some_and(config::any)
}

/// Reads the options, and prints a line for each that is wrong.
#[cold]
#[inline(never)]
fn read_options(startup: Startup) -> Options {
    conf::add(startup);
    let options = config::read(startup.environment(), |entry, complaint| match complaint {
        Complaint::Form(form) if config::is_limit(entry) => {
            conf::refuse(&[entry, b": takes ", form.as_bytes(), b"; the process ends"]);
        }
        Complaint::Clash(what) if config::is_limit(entry) => {
            conf::refuse(&[entry, b": ", what.as_bytes(), b"; the process ends"]);
        }
        Complaint::Form(form) => {
            diag::line(Code::BadOption, &[entry, b": takes ", form.as_bytes(), b"; the default stays"]);
        }
        Complaint::Clash(what) => diag::line(Code::BadOption, &[entry, b": ", what.as_bytes(), b"; ignored"]),
        Complaint::Numa => {
            diag::line(Code::NumaPolicy, &[entry, b": needs SPANDREL_PROFILE=hosted-server; ignored"]);
        }
        Complaint::HugePages => {
            let what = b": needs SPANDREL_PROFILE=hosted-server; ordinary pages are used";
            diag::line(Code::HugePagePolicy, &[entry, what]);
        }
    });
    if let Err(fault) = account::prepare(&options, startup) {
        let [before, behind]: [&[u8]; 2] = if fault.line.is_empty() { [b"", b""] } else { [b" `", b"`"] };
        let (path, what) = (fault.path, fault.what);
        let name = b"SPANDREL_ACCOUNT_LIMITS=";
        conf::refuse(&[name, path, b": ", what, before, fault.line, behind, b"; the process ends"]);
    }
    options
}

/// The table of the mode that `options` ask for, ready to serve; `None` for the default mode.
#[cold]
#[inline(never)]
fn chosen(options: &Options, page: usize) -> Option<&'static ModeTable> {
    match options.mode() {
        config::ModeName::Fast => None,
        config::ModeName::Custom => {
            custom::begin();
            Some(&CUSTOM)
        }
        config::ModeName::Libc => Some(&LIBC),
        config::ModeName::Counting => Some(&COUNTING),
        config::ModeName::Guarded => {
            guarded::begin(options, page);
            Some(&GUARDED)
        }
        config::ModeName::Hardened => {
            hardened::begin(options);
            Some(&HARDENED)
        }
        config::ModeName::Tracked => {
            tracked::begin();
            Some(&TRACKED)
        }
    }
}
