#![expect(unsafe_code, reason = "fork handlers")]
//! Fork: the handlers take every lock before a fork, in order of rank, and release all of them after it, so the child
//! finds whole structures behind the locks. The bins and batches of the threads that the child does not have are
//! orphans, which its slow calls adopt (`heap::orphan`).
//!
//! The handlers are registered before those of the program and other libraries, so they run last before the fork and
//! first after it. The start of the allocator registers them, or, in the shared library, the first call that registers
//! other handlers (`api/at_fork.rs`); in other builds the constructor does. No code of the program runs while the locks
//! are held, because signals are blocked meanwhile, too. In a static program a constructor may register handlers
//! earlier. While those run, calls count as recursion, so libc serves them, and a fork of theirs is nested: it only
//! counts itself.
//!
//! A signal handler may fork while its thread is inside the allocator and holds locks. Such a fork takes, within
//! bounded time, the locks that are free. In the child the interrupted code continues, and releases the locks that it
//! held. A lock whose holder does not exist in the child stays taken; a thread that waits for one ends the process
//! ([`end_process`]).
//!
//! # Invariants
//! - One fork at a time has the lock `turn`. It releases the locks that it took, and no others.

use core::cell::Cell;

use lock_api::{GuardSend, RawMutex};

use crate::diag::{self, Code};
use crate::process::feature::Order;
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::lock::{self, Futex, Patience};
use crate::sys::{call, libc, tls};

/// Nanoseconds for which a fork waits for all locks. Then it releases those it has, and tries again: two forks may wait
/// for each other, if one of them is in a signal handler that interrupted the allocator.
const PATIENCE: u64 = 10_000_000;
/// The same for a fork whose thread was inside the allocator. Locks that this thread holds do not become free
/// meanwhile, so the wait is short.
const PATIENCE_INSIDE: u64 = 1_000_000;

/// The fork that is under way. Its thread, and the copy of that thread in the child, write and read all fields; other
/// threads only read `owner`, and wait for `turn`.
struct Fork {
    /// Held from the first handler to the last one.
    turn: Futex,
    /// The thread that has `turn`, by the address of its thread-local word; 0 if there is none. Written by that thread;
    /// read by any thread, to learn whether it is the one.
    owner: AtomicUsize,
    /// Whether the thread that forks was inside the allocator.
    inside: Cell<bool>,
    /// Whether the process had no other thread.
    is_single: Cell<bool>,
    /// The nested forks under way: forks of handlers that run during this one.
    depth: Cell<u32>,
    /// The signals that the thread blocked before the fork.
    blocked: Cell<u64>,
    /// The process that forks, by the kernel's number.
    process: Cell<u32>,
    /// The number of features whose locks this fork asked for; one that registers later keeps its own.
    features: Cell<usize>,
}

// SAFETY: only the thread that has `turn`, which `is_mine` and `lock` establish, reads or writes the cells.
unsafe impl Sync for Fork {}

impl Fork {
    /// No fork under way.
    const fn new() -> Self {
        Self {
            turn: Futex::INIT,
            owner: AtomicUsize::new(0),
            inside: Cell::new(false),
            is_single: Cell::new(false),
            depth: Cell::new(0),
            blocked: Cell::new(0),
            process: Cell::new(0),
            features: Cell::new(0),
        }
    }

    /// Whether the calling thread is the one that forks.
    fn is_mine(&self) -> bool {
        // Relaxed: a thread reads its own store, and no other thread stores its address.
        self.owner.load(Ordering::Relaxed) == tls::word_address()
    }

    /// Takes `turn` and all locks. False if that takes too long; then this fork has neither. With `inside` it
    /// suffices to take the locks that become free in time.
    fn lock(&self, inside: bool, is_single: bool) -> bool {
        let patience = Patience::of(match (inside, is_single) {
            (false, _) => PATIENCE,
            (true, false) => PATIENCE_INSIDE,
            (true, true) => 0,
        });
        if !patience.lock(&self.turn) {
            return false;
        }
        // Relaxed: see `is_mine`.
        self.owner.store(tls::word_address(), Ordering::Relaxed);
        PROCESS.registry.lock_for_fork(&patience);
        self.features.set(PROCESS.features.iter().count());
        self.locks(Order::BeforeCentral).for_each(|(lock, _)| lock(&patience));
        PROCESS.central.lock_for_fork(&patience);
        self.locks(Order::AfterCentral).for_each(|(lock, _)| lock(&patience));
        if patience.missed() && !inside {
            self.unlock();
            return false;
        }
        true
    }

    /// The functions that take and release the locks of features, of those that had registered when this fork began.
    fn locks(&self, order: Order) -> impl Iterator<Item = (fn(&Patience), fn())> {
        let locks = PROCESS.features.iter().take(self.features.get()).filter_map(|feature| feature.locks);
        locks.filter(move |locks| locks.0 == order).map(|(_, lock, unlock)| (lock, unlock))
    }

    /// Releases the locks that this fork took, and `turn` last.
    fn unlock(&self) {
        for (_, unlock) in self.locks(Order::AfterCentral) {
            unlock();
        }
        PROCESS.central.unlock_after_fork();
        for (_, unlock) in self.locks(Order::BeforeCentral) {
            unlock();
        }
        PROCESS.registry.unlock_after_fork();
        // Relaxed: see `is_mine`.
        self.owner.store(0, Ordering::Relaxed);
        // SAFETY: this thread, or the thread of the parent that it is a copy of, took `turn` in `lock`.
        unsafe { self.turn.unlock(GuardSend::new()) };
    }
}

/// Written and read by the thread that forks; see the fields.
static FORK: Fork = Fork::new();

/// Whether the handlers are registered. Written and read by the constructor, by the start, and by threads that register
/// handlers of their own.
static HOOKED: AtomicBool = AtomicBool::new(false);

/// Registers the handlers, once.
pub(crate) fn hook() {
    // Relaxed: only the first call matters; the C library's table has a lock of its own.
    if !HOOKED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handlers are functions of this object, which is never unloaded (`-z nodelete`).
        unsafe { libc::register_fork_handlers(Some(prepare), Some(parent), Some(child)) };
    }
}

/// Runs in the parent before a fork.
extern "C" fn prepare() {
    let fork = &FORK;
    // A signal handler that ran from here on could fork while this fork has some of the locks.
    let blocked = call::block_signals();
    if fork.is_mine() {
        fork.depth.set(fork.depth.get() + 1);
        return;
    }
    let inside = !thread::suspend();
    let is_single = libc::is_single_threaded();
    while !take_all(fork, inside, is_single) {
        if inside {
            // Another thread's fork may wait for a lock of this thread. This fork goes on without any.
            call::set_blocked_signals(blocked);
            return;
        }
        lock::ask_for_holder();
    }
    fork.inside.set(inside);
    fork.is_single.set(is_single);
    fork.blocked.set(blocked);
    fork.process.set(call::process_id());
}

/// Takes libc's lock of streams, and then all locks of the allocator. libc's own fork takes that lock after our
/// handler, and threads that hold it may be waiting in malloc for ours. In a process with one thread libc does not
/// take it, and neither does this: the thread itself may have been interrupted while it held it.
fn take_all(fork: &Fork, inside: bool, is_single: bool) -> bool {
    if is_single {
        return fork.lock(inside, is_single);
    }
    libc::lock_streams();
    let taken = fork.lock(inside, is_single);
    if !taken {
        libc::unlock_streams();
    }
    taken
}

/// Runs in the parent after a fork.
extern "C" fn parent() {
    let fork = &FORK;
    if !fork.is_mine() || ends_inner(fork) {
        return;
    }
    // A child that a nested fork made also arrives here.
    if fork.process.get() != call::process_id() {
        return go_on_in_child(fork);
    }
    let blocked = fork.blocked.get();
    let (inside, is_single) = (fork.inside.get(), fork.is_single.get());
    fork.unlock();
    if !is_single {
        libc::unlock_streams();
    }
    if !inside {
        thread::resume();
    }
    call::set_blocked_signals(blocked);
}

/// Runs in the child after a fork.
extern "C" fn child() {
    let fork = &FORK;
    if !fork.is_mine() {
        // The fork got no locks. The word of a new thread of this process may lie at the address that `owner` holds.
        // Relaxed: the child has one thread.
        fork.owner.store(0, Ordering::Relaxed);
        PROCESS.registry.leave_others(thread::note_copy());
    } else if !ends_inner(fork) {
        go_on_in_child(fork);
    }
}

/// Ends the process, because a thread waits for a lock whose holder the process does not have.
#[cold]
pub(crate) fn end_process() -> ! {
    diag::fatal(
        Code::LostLock,
        "this process was forked by _Fork, or while its thread was inside malloc, \
         and a thread that it does not have holds a lock",
    )
}

/// Whether the fork that ends is nested in the one that has the locks; if so, counts it off.
fn ends_inner(fork: &Fork) -> bool {
    let depth = fork.depth.get();
    fork.depth.set(depth.saturating_sub(1));
    depth > 0
}

/// Releases the locks in the child, and makes orphans of the heaps whose threads it does not have.
fn go_on_in_child(fork: &Fork) {
    let blocked = fork.blocked.get();
    let (inside, is_single) = (fork.inside.get(), fork.is_single.get());
    fork.unlock();
    if !is_single {
        libc::reset_streams();
    }
    PROCESS.features.in_child(inside);
    let own = thread::note_copy();
    if inside {
        PROCESS.registry.leave_others(own);
    } else {
        thread::resume();
        PROCESS.registry.orphan_all_but(own);
        lock::note_process();
    }
    call::set_blocked_signals(blocked);
}
