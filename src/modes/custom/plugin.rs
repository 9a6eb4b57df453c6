//! A plugin: a shared object whose functions serve the calls.
//!
//! The dynamic linker must not be called from inside itself, so the first call that does not come from it loads the
//! plugin: once `main`, or a constructor of the program's, runs. Until then Spandrel serves. If a plugin cannot be
//! used, a diagnostic says so, and Spandrel goes on serving.

use core::ffi::CStr;

use super::functions::Functions;
use crate::diag::{self, Code};
use crate::process::state::PROCESS;
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::startup::Startup;
use crate::unwind;

const VARIABLE: &[u8] = b"SPANDREL_PLUGIN=";

/// Whether a thread has loaded the plugin, or found that there is none. Any thread writes and reads.
static DONE: AtomicBool = AtomicBool::new(false);

/// Loads the plugin that the environment names, if it names one and this call may load it.
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
    // AcqRel pairs with itself: one thread loads the plugin.
    if unwind::comes_through_loader() || DONE.swap(true, Ordering::AcqRel) {
        return;
    }
    let Some(path) = Startup::find().and_then(|startup| startup.variable(VARIABLE)) else { return };
    if let Err(what) = install(path) {
        let why = what.unwrap_or(b"it cannot be loaded");
        diag::line(Code::BadOption, &[VARIABLE, path.to_bytes(), b": ", why, b"; Spandrel serves"]);
    }
}

/// Loads the plugin and has its functions serve; otherwise the reason, as far as it is known.
fn install(path: &CStr) -> Result<(), Option<&'static [u8]>> {
    super::set_functions(Some(Functions::of_plugin(path)?)).map_err(|_| Some(&b"there is no room for it"[..]))
}
