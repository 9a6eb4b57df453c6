#![expect(unsafe_code, reason = "fork handlers")]
//! Fork: every lock is taken before, in order of rank, and given back after, so the child finds whole structures behind locks.
//! What other threads had in their hands is handed over when the child first needs memory; see `heap::orphan`.
//!
//! The handlers are registered before anyone else's, so ours run last before the fork and first after it, and nothing of the
//! program's runs while the locks are held: signals are blocked meanwhile. Where that fails (a static program whose constructor was
//! faster), its calls count as recursion and go to libc, and a fork of its own is one inside the fork that is under way.
//!
//! A handler of a signal may fork while its thread is inside the allocator, and holds locks. Such a fork takes, within bounded time,
//! those locks that are free. Its child has the locks of the interrupted thread, which that gives back itself as it goes on, and may have
//! one of a thread that is lost; see `sys::lock`.
//!
//! # Invariants
//! - One fork at a time holds the gate, and gives back what it took, and nothing else.

use core::cell::Cell;

use lock_api::{GuardSend, RawMutex};

use crate::diag::{self, Code};
use crate::process::feature::Order;
use crate::process::state::{PROCESS, Process};
use crate::process::thread;
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::lock::{self, Futex, Patience};
use crate::sys::{call, libc, tls};

/// How long a fork waits for all locks before it gives back those it has, and tries again: two forks may wait for each other, one of them
/// in the handler of a signal that interrupted the allocator.
const PATIENCE: u64 = 10_000_000;
/// How long one waits whose thread was inside the allocator. What its thread holds it waits for in vain.
const PATIENCE_INSIDE: u64 = 1_000_000;

/// The fork that is under way. All but `owner` is for its thread, and the copy of that in the child.
struct Fork {
    /// Held from the first handler to the last one.
    gate: Futex,
    /// The thread that holds the gate, by the address of its word; 0 if there is none. Written by that thread, read by any, which only
    /// asks whether it is the one.
    owner: AtomicUsize,
    /// Whether its thread was inside the allocator, and whether the process had no other one.
    inside: Cell<bool>,
    is_single: Cell<bool>,
    /// Forks inside of this one.
    depth: Cell<u32>,
    /// The signals that the thread blocked before.
    blocked: Cell<u64>,
    /// The process that forks, by the kernel's number.
    process: Cell<u32>,
    /// How many features there were when their locks were taken.
    features: Cell<usize>,
}

// SAFETY: cells are touched by the thread that holds the gate.
unsafe impl Sync for Fork {}

impl Fork {
    /// None.
    const fn new() -> Self {
        Self {
            gate: Futex::INIT,
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
        // Relaxed: a thread finds what it wrote itself, and nobody else writes its address.
        self.owner.load(Ordering::Relaxed) == tls::word_address()
    }

    /// Takes the gate and all locks; false, and the gate is not taken, if that takes too long. With `inside` those locks are enough that
    /// can be had.
    fn lock(&self, inside: bool, is_single: bool) -> bool {
        let patience = Patience::of(match (inside, is_single) {
            (false, _) => PATIENCE,
            (true, false) => PATIENCE_INSIDE,
            (true, true) => 0,
        });
        if !patience.lock(&self.gate) {
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

    /// The locks of the features that this fork is about.
    fn locks(&self, order: Order) -> impl Iterator<Item = (fn(&Patience), fn())> {
        let locks = PROCESS.features.iter().take(self.features.get()).filter_map(|feature| feature.locks);
        locks.filter(move |locks| locks.0 == order).map(|(_, lock, unlock)| (lock, unlock))
    }

    /// Gives the locks back that this fork took.
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
        // SAFETY: this thread, or the one it was copied from, took the gate in `lock`.
        unsafe { self.gate.unlock(GuardSend::new()) };
    }
}

static FORK: Fork = Fork::new();

/// Registers the handlers, once.
pub(crate) fn hook(process: &Process) {
    // Relaxed: only the first call matters; the C library's table has a lock of its own.
    if !process.fork_hooked.swap(true, Ordering::Relaxed) {
        // SAFETY: the handlers are functions that stay; the object is never unloaded.
        unsafe { ::libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    }
}

/// Runs in the parent before a fork.
extern "C" fn prepare() {
    let fork = &FORK;
    // A handler that runs from here on would fork while this fork has some of the locks.
    let blocked = call::block_signals();
    if fork.is_mine() {
        fork.depth.set(fork.depth.get() + 1);
        return;
    }
    let inside = !thread::suspend();
    let is_single = libc::is_single_threaded();
    while !take_all(fork, inside, is_single) {
        if inside {
            // Another thread's fork waits for what this thread holds.
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

/// libc's fork takes the lock of its streams after our handler; threads that hold it or a stream's may be waiting for ours. With one thread
/// nobody else holds it, and libc leaves it alone: so do we, for this thread may have been interrupted while it held it.
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
    // A fork inside of this one may have made a child, which goes on here.
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
        // Nothing could be prepared. A thread of this process may come to have the word of one that is lost.
        // Relaxed: the child has one thread.
        fork.owner.store(0, Ordering::Relaxed);
        PROCESS.registry.leave_others(thread::note_copy());
    } else if !ends_inner(fork) {
        go_on_in_child(fork);
    }
}

/// Ends the process where a thread waits for a lock whose holder it does not have.
#[cold]
pub(crate) fn give_up() -> ! {
    diag::fatal(
        Code::LostLock,
        "this process was forked by _Fork, or while its thread was inside malloc, and a thread that it does not have holds a lock",
    )
}

/// Whether what ends is a fork inside of the one that holds the locks.
fn ends_inner(fork: &Fork) -> bool {
    let depth = fork.depth.get();
    fork.depth.set(depth.saturating_sub(1));
    depth > 0
}

fn go_on_in_child(fork: &Fork) {
    let blocked = fork.blocked.get();
    let (inside, is_single) = (fork.inside.get(), fork.is_single.get());
    fork.unlock();
    if !is_single {
        libc::reset_streams();
    }
    PROCESS.features.iter().for_each(|feature| (feature.in_child)(inside));
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
