#![expect(unsafe_code, reason = "opens the store and registers with the C library")]
//! Start: reading the environment, reserving address space, registering with the C library.
//!
//! ld.so may call malloc before it runs any constructor, so registering is done by the first heap or by the constructor,
//! whichever comes first. The C library's tables for it are static.

use super::process::{PROCESS, Process};
use super::{exit, fork, thread};
use crate::config::{self, OnError, Options};
use crate::diag::{self, Code, Policy};
use crate::pages::Space;
use crate::sys::atomic::{Ordering, spin};
use crate::sys::startup::Startup;
use crate::sys::tls;

/// Whether the hooks have been registered.
const UNREGISTERED: u32 = 0;
const REGISTERING: u32 = 1;
const REGISTERED: u32 = 2;

const PAGE_BYTES_USUAL: usize = 4096;

/// Makes the process ready; false if libc is to serve everything.
pub(super) fn start(process: &Process) -> bool {
    let startup = Startup::find();
    let options = match startup {
        Some(startup) if !startup.is_secure() => read_options(startup),
        _ => Options::DEFAULT,
    };
    diag::set_policy(match options.on_error {
        OnError::Abort => Policy::Abort,
        OnError::Report => Policy::Report,
        OnError::Ignore => Policy::Ignore,
    });
    process.tally.set_range(options.diag_range);
    if options.diag || options.stats {
        process.reports.open();
    }
    // SAFETY: the barrier lets one thread come here, once.
    unsafe { process.options.set(options) };
    if options.force_libc {
        return false;
    }
    let page = startup.map_or(PAGE_BYTES_USUAL, Startup::page_bytes);
    let Some(space) = Space::reserve(options.reserve, page) else {
        diag::exhausted("no address space to start with; libc serves everything");
        return false;
    };
    // SAFETY: as for the options.
    unsafe { process.central.pages.open(space, options.purge_delay) };
    true
}

/// Whether the environment has any option of ours.
pub(super) fn has_options() -> bool {
    Startup::find().is_some_and(|startup| config::any(startup.environment()))
}

fn read_options(startup: Startup) -> Options {
    config::read(startup.environment(), |entry, form| {
        diag::line(Code::BadOption, &[entry, b": takes ", form.as_bytes(), b"; the default stays"]);
    })
}

/// Registers fork handlers and the key that ends threads' heaps, once.
pub(super) fn register(process: &Process) {
    // Acquire pairs with the Release below: whoever finds it done can use the key.
    match process.hooks.compare_exchange(UNREGISTERED, REGISTERING, Ordering::Acquire, Ordering::Acquire) {
        Ok(_) => {}
        Err(REGISTERED) => return,
        Err(_) => {
            // Another thread is at it, which takes some nanoseconds.
            while process.hooks.load(Ordering::Acquire) != REGISTERED {
                spin();
            }
            return;
        }
    }
    // SAFETY: the handlers are functions that stay; the object is never unloaded.
    unsafe { libc::pthread_atfork(Some(fork::prepare), Some(fork::parent), Some(fork::child)) };
    let mut key = 0;
    // SAFETY: `key` is writable; the destructor is a function that stays.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(thread::on_exit)) } == 0 {
        // Release pairs with the Acquire in `thread::watch_exit`.
        process.exit_key.store(key + 1, Ordering::Release);
    }
    process.hooks.store(REGISTERED, Ordering::Release);
}

mod constructor {
    ctor::declarative::ctor! {
        #[ctor(unsafe)]
        fn on_load() {
            super::on_load();
        }
    }
}

/// Runs when the object is loaded, before other constructors. A program that never calls malloc pays for nothing more than this.
fn on_load() {
    register(&PROCESS);
    if tls::home() > thread::LAST_MARK {
        thread::watch_exit(tls::home());
    }
    exit::keep();
}
