#![expect(unsafe_code, reason = "loads a shared object")]
//! A plugin: a shared object whose functions serve the calls. It is loaded by the first call that does not come through the dynamic
//! linker, which could not bear that: once `main`, or a constructor of the program's, runs. Until then Spandrel serves. A plugin
//! that cannot be used is told in one line, and the process goes on without.

use core::ffi::{CStr, c_void};
use core::mem::transmute;

use crate::diag::{self, Code};

use super::functions::{AlignedAlloc, Calloc, Free, Functions, Malloc, Realloc, UsableSize};
use crate::process::state::PROCESS;
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::libc as system;
use crate::sys::startup::Startup;
use crate::unwind;

const VARIABLE: &[u8] = b"SPANDREL_PLUGIN=";

/// The plugin was looked for, by any thread; it is done once.
static DONE: AtomicBool = AtomicBool::new(false);

/// Loads the plugin that the environment names, if it names one and this is the time.
#[inline]
pub(crate) fn load_in_time() {
    // Relaxed: a hint; the exchange decides.
    if !DONE.load(Ordering::Relaxed) {
        load();
    }
}

#[cold]
fn load() {
    if !PROCESS.options().plugin {
        // Relaxed: a hint.
        return DONE.store(true, Ordering::Relaxed);
    }
    // Acquire and Release: threads that come later find what the one that loads has done so far.
    if unwind::comes_through_loader() || DONE.swap(true, Ordering::AcqRel) {
        return;
    }
    let Some(path) = Startup::find().and_then(|startup| startup.variable(VARIABLE)) else { return };
    if let Err(what) = install(path) {
        let why = what.unwrap_or(b"it cannot be loaded");
        diag::line(Code::BadOption, &[VARIABLE, path.to_bytes(), b": ", why, b"; Spandrel serves"]);
    }
}

/// Loads the object and has its functions serve; otherwise why not, as far as that is known.
fn install(path: &CStr) -> Result<(), Option<&'static [u8]>> {
    let object = system::open_object(path).map_err(|why| why.map(CStr::to_bytes))?;
    let find = |name| system::symbol_of(object, name);
    // SAFETY: the plugin's promise: its functions have the types that docs/modes.md says.
    let malloc = unsafe { transmute::<*mut c_void, Option<Malloc>>(find(c"spandrel_plugin_malloc")) };
    // SAFETY: as above.
    let free = unsafe { transmute::<*mut c_void, Option<Free>>(find(c"spandrel_plugin_free")) };
    let functions = Functions {
        malloc: malloc.ok_or(Some(&b"it has no spandrel_plugin_malloc"[..]))?,
        free: free.ok_or(Some(&b"it has no spandrel_plugin_free"[..]))?,
        // SAFETY: as above.
        calloc: unsafe { transmute::<*mut c_void, Option<Calloc>>(find(c"spandrel_plugin_calloc")) },
        // SAFETY: as above.
        realloc: unsafe { transmute::<*mut c_void, Option<Realloc>>(find(c"spandrel_plugin_realloc")) },
        // SAFETY: as above.
        aligned_alloc: unsafe { transmute::<*mut c_void, Option<AlignedAlloc>>(find(c"spandrel_plugin_aligned_alloc")) },
        // SAFETY: as above.
        usable_size: unsafe { transmute::<*mut c_void, Option<UsableSize>>(find(c"spandrel_plugin_malloc_usable_size")) },
    };
    super::set_functions(Some(functions)).map_err(|_| Some(&b"there is no room for it"[..]))
}
