#![expect(unsafe_code, reason = "has libspandrel write a profile to a file that the program names")]
//! The names of `mallctl` that have a meaning under Spandrel. All others are unknown, `ENOENT`, as in a jemalloc that
//! was built without them.
//!
//! There is one arena, number 0, which stands for all heaps. `arenas.create` counts up, so that programs which want an
//! arena of their own get a number; their blocks are served as all others, and the figures of such arenas are zero.

use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::control::{Call, Done};
use crate::figures::{self, Figure, OfClass};
use crate::foreign::{self, Errno, LANE_LIBC};

/// A row of the table.
pub(crate) struct Name {
    /// Parts with dots between; `#` stands for a number.
    pub(crate) name: &'static str,
    pub(crate) answer: fn(&Call) -> Done,
}

const fn name(name: &'static str, answer: fn(&Call) -> Done) -> Name {
    Name { name, answer }
}

/// The version of the API, jemalloc's, and Spandrel's behind it.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!("5.3.0-0-spandrel-", env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => c"5.3.0",
    };

/// `MALLCTL_ARENAS_ALL`.
const ALL_ARENAS: usize = 4096;
/// `MALLCTL_ARENAS_DESTROYED`.
const DESTROYED_ARENAS: usize = 4097;
/// Blocks of more bytes have no class: `SMALL_MAX` of libspandrel.
const SMALL_MAX: usize = 32 << 10;
/// Blocks of so many bytes and more are aligned to it.
const QUANTUM: usize = 16;

/// Arenas and caches that programs made. Any thread counts up; nothing else comes with the numbers, so `Relaxed` is
/// enough.
static ARENAS: AtomicU32 = AtomicU32::new(1);
static CACHES: AtomicU32 = AtomicU32::new(0);
/// Whether the program switched the heap profile on. Any thread writes and reads; nothing comes with it.
static PROFILING: AtomicBool = AtomicBool::new(false);

pub(crate) static NAMES: &[Name] = &[
    name("version", |call| call.read(VERSION.as_ptr())),
    name("epoch", |call| {
        if call.take::<u64>()?.is_some() {
            figures::refresh();
        }
        call.give(figures::epoch())
    }),
    // There are no threads that purge unless SPANDREL_IDLE_RETURN=thread starts one; they cannot be asked for here.
    name("background_thread", |call| switch(call, false, |wanted| if wanted { Err(Errno::NO_ENTRY) } else { Ok(()) })),
    name("max_background_threads", |call| call.read(0_usize)),
    name("thread.arena", |call| {
        if let Some(arena) = call.take::<u32>()? {
            known_arena(arena as usize)?;
        }
        call.give(0_u32)
    }),
    name("thread.tcache.enabled", |call| switch(call, true, |on| if on { Ok(()) } else { Err(Errno::INVALID) })),
    name("thread.tcache.flush", |call| call.act(|| foreign::spandrel_collect(false))),
    name("thread.idle", |call| call.act(|| foreign::spandrel_collect(false))),
    // Relaxed: see above.
    name("tcache.create", |call| call.read(CACHES.fetch_add(1, Ordering::Relaxed))),
    name("tcache.flush", |call| cache(call).map(|()| foreign::spandrel_collect(false))),
    name("tcache.destroy", cache),
    name("arena.#.initialized", |call| call.read(flag(known_arena(call.first()).is_ok()))),
    name("arena.#.purge", |call| collect(call, true)),
    name("arena.#.decay", |call| collect(call, false)),
    name("arenas.narenas", |call| call.read(arenas())),
    name("arenas.page", |call| call.read(foreign::page_bytes())),
    name("arenas.quantum", |call| call.read(QUANTUM)),
    name("arenas.tcache_max", |call| call.read(SMALL_MAX)),
    name("arenas.nbins", |call| call.read(figures::class_count() as u32)),
    name("arenas.nhbins", |call| call.read(figures::class_count() as u32)),
    name("arenas.nlextents", |call| call.read(0_u32)),
    name("arenas.bin.#.size", |call| call.read(class(call.first(), OfClass::BlockBytes)?)),
    name("arenas.bin.#.nregs", |call| call.read(class(call.first(), OfClass::SpanBlocks)? as u32)),
    name("arenas.bin.#.slab_size", |call| call.read(class(call.first(), OfClass::SpanBytes)?)),
    name("arenas.bin.#.nshards", |call| class(call.first(), OfClass::BlockBytes).and_then(|_| call.read(1_u32))),
    name("arenas.create", |call| {
        // Functions for extents cannot be had, and a program that brings some relies on them.
        if call.take::<*const c_void>()?.is_some() {
            return Err(Errno::INVALID);
        }
        // Relaxed: see above.
        call.give(ARENAS.fetch_add(1, Ordering::Relaxed))
    }),
    name("arenas.lookup", |call| {
        let block = call.take::<*const c_void>()?.ok_or(Errno::INVALID)?;
        if foreign::spandrel_lane_of_pointer(block) == LANE_LIBC {
            return Err(Errno::INVALID);
        }
        call.give(0_u32)
    }),
    name("prof.active", |call| {
        // Relaxed: see above.
        switch(call, PROFILING.load(Ordering::Relaxed), set_profiling)
    }),
    name("prof.dump", |call| dump(call.written()?.unwrap_or(core::ptr::null()))),
    name("stats.allocated", |call| call.read(figures::get(Figure::Allocated))),
    name("stats.active", |call| call.read(figures::get(Figure::Active))),
    name("stats.metadata", |call| call.read(figures::get(Figure::Metadata))),
    name("stats.metadata_thp", |call| call.read(0_usize)),
    name("stats.resident", |call| call.read(figures::get(Figure::Resident))),
    name("stats.mapped", |call| call.read(figures::get(Figure::Mapped))),
    name("stats.retained", |call| call.read(figures::get(Figure::Retained))),
    name("stats.zero_reallocs", |call| call.read(0_usize)),
    name("stats.background_thread.num_threads", |call| call.read(0_usize)),
    name("stats.arenas.#.nthreads", |call| call.read(of_arena(call, Figure::Heaps)? as u32)),
    name("stats.arenas.#.pactive", |call| call.read(of_arena(call, Figure::Active)? / foreign::page_bytes())),
    name("stats.arenas.#.pdirty", |call| call.read(of_arena(call, Figure::Dirty)? / foreign::page_bytes())),
    name("stats.arenas.#.pmuzzy", |call| known_arena(call.first()).and_then(|()| call.read(0_usize))),
    name("stats.arenas.#.mapped", |call| call.read(of_arena(call, Figure::Mapped)?)),
    name("stats.arenas.#.retained", |call| call.read(of_arena(call, Figure::Retained)?)),
    name("stats.arenas.#.resident", |call| call.read(of_arena(call, Figure::Resident)?)),
    name("stats.arenas.#.base", |call| call.read(of_arena(call, Figure::Metadata)?)),
    name("stats.arenas.#.internal", |call| known_arena(call.first()).and_then(|()| call.read(0_usize))),
    name("stats.arenas.#.metadata_thp", |call| known_arena(call.first()).and_then(|()| call.read(0_usize))),
    name("stats.arenas.#.tcache_bytes", |call| call.read(of_arena(call, Figure::Cached)?)),
    name("stats.arenas.#.small.allocated", |call| call.read(of_arena(call, Figure::SmallAllocated)?)),
    name("stats.arenas.#.large.allocated", |call| {
        let small = of_arena(call, Figure::SmallAllocated)?;
        call.read(of_arena(call, Figure::Allocated)?.saturating_sub(small))
    }),
    name("stats.arenas.#.bins.#.curregs", |call| call.read(of_bin(call, OfClass::Live)?)),
    name("stats.arenas.#.bins.#.curslabs", |call| call.read(of_bin(call, OfClass::Spans)?)),
    name("stats.arenas.#.bins.#.nonfull_slabs", |call| call.read(of_bin(call, OfClass::Partial)?)),
    name("stats.arenas.#.bins.#.nfills", |call| call.read(of_bin(call, OfClass::Refills)? as u64)),
    name("stats.arenas.#.bins.#.nflushes", |call| call.read(of_bin(call, OfClass::Flushes)? as u64)),
    name("config.cache_oblivious", |call| call.read(flag(false))),
    name("config.debug", |call| call.read(flag(false))),
    name("config.fill", |call| call.read(flag(false))),
    name("config.lazy_lock", |call| call.read(flag(false))),
    name("config.malloc_conf", |call| call.read(c"".as_ptr())),
    name("config.opt_safety_checks", |call| call.read(flag(false))),
    name("config.prof", |call| call.read(flag(true))),
    name("config.prof_libgcc", |call| call.read(flag(false))),
    name("config.prof_libunwind", |call| call.read(flag(false))),
    name("config.stats", |call| call.read(flag(true))),
    name("config.utrace", |call| call.read(flag(false))),
    name("config.xmalloc", |call| call.read(flag(false))),
    name("opt.abort", |call| call.read(flag(false))),
    name("opt.abort_conf", |call| call.read(flag(false))),
    name("opt.background_thread", |call| call.read(flag(false))),
    name("opt.dss", |call| call.read(c"disabled".as_ptr())),
    name("opt.metadata_thp", |call| call.read(c"disabled".as_ptr())),
    name("opt.narenas", |call| call.read(1_u32)),
    name("opt.percpu_arena", |call| call.read(c"disabled".as_ptr())),
    name("opt.prof", |call| call.read(flag(true))),
    name("opt.prof_active", |call| call.read(flag(false))),
    name("opt.retain", |call| call.read(flag(true))),
    name("opt.tcache", |call| call.read(flag(true))),
    name("opt.tcache_max", |call| call.read(SMALL_MAX)),
    name("opt.thp", |call| call.read(c"default".as_ptr())),
    name("opt.utrace", |call| call.read(flag(false))),
    name("opt.xmalloc", |call| call.read(flag(false))),
];

/// C's bool.
fn flag(value: bool) -> u8 {
    u8::from(value)
}

/// A bool that can be read, and written by `set`.
fn switch(call: &Call, value: bool, set: impl FnOnce(bool) -> Done) -> Done {
    if let Some(new) = call.take::<u8>()? {
        set(new != 0)?;
    }
    call.give(flag(value))
}

/// How many arenas there are.
fn arenas() -> u32 {
    // Relaxed: see above.
    ARENAS.load(Ordering::Relaxed)
}

/// An error for numbers of arenas that do not exist.
fn known_arena(arena: usize) -> Done {
    let known = arena < arenas() as usize || is_whole(arena) || arena == DESTROYED_ARENAS;
    if known { Ok(()) } else { Err(Errno::NO_ENTRY) }
}

/// Whether the number stands for all memory. One more than the last arena does, too: jemalloc's older name for all.
fn is_whole(arena: usize) -> bool {
    arena == 0 || arena == ALL_ARENAS || arena == arenas() as usize
}

/// A figure of the arena that a call names.
fn of_arena(call: &Call, figure: Figure) -> Result<usize, Errno> {
    known_arena(call.first())?;
    Ok(if is_whole(call.first()) { figures::get(figure) } else { 0 })
}

/// A figure of a class, by its number.
fn class(index: usize, figure: OfClass) -> Result<usize, Errno> {
    figures::of_class(index, figure).ok_or(Errno::NO_ENTRY)
}

/// A figure of a class in an arena, which a call names both.
fn of_bin(call: &Call, figure: OfClass) -> Result<usize, Errno> {
    known_arena(call.first())?;
    let value = class(call.second(), figure)?;
    Ok(if is_whole(call.first()) { value } else { 0 })
}

/// Gives free memory of the arena back, `everything` of it or what the thread has.
fn collect(call: &Call, everything: bool) -> Done {
    known_arena(call.first())?;
    let whole = is_whole(call.first());
    call.act(|| {
        if whole {
            foreign::spandrel_collect(everything);
        }
    })
}

/// An error unless the call names a cache that the program made.
fn cache(call: &Call) -> Done {
    let cache: u32 = call.written()?.ok_or(Errno::INVALID)?;
    // Relaxed: see above.
    if cache < CACHES.load(Ordering::Relaxed) { Ok(()) } else { Err(Errno::FAULT) }
}

/// Starts or stops the heap profile.
fn set_profiling(on: bool) -> Done {
    if !on {
        foreign::spandrel_profile_stop();
    } else if !foreign::spandrel_profile_start(0) {
        return Err(Errno::FAULT);
    }
    // Relaxed: see above.
    PROFILING.store(on, Ordering::Relaxed);
    Ok(())
}

/// Writes the heap profile to that file, or to the one of the options.
fn dump(path: *const c_char) -> Done {
    // SAFETY: the program passes null or a C string, as jemalloc's manual wants it.
    if unsafe { foreign::spandrel_profile_dump(path) } { Ok(()) } else { Err(Errno::FAULT) }
}
