#![expect(unsafe_code, reason = "exports C functions")]
//! The heap profile and call stacks, as programs ask for them: a part of `include/spandrel.h`.

use core::ffi::{CStr, c_char, c_void};

use super::errno;
use crate::control::requests;
use crate::profile::sampling::{self, NoProfile};
use crate::unwind;

/// Starts to sample requests for the heap profile, one every `rate` bytes on average; 0 for SPANDREL_HEAP_PROFILE_RATE. Other threads
/// follow when they next leave the fast path. False, and errno ENOTSUP, where libc or a mode other than `fast` and `counting` serves the
/// process.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_profile_start(rate: usize) -> bool {
    told(if requests::is_active() { sampling::start(rate) } else { Err(NoProfile::Unsampled) })
}

/// Samples no more requests. Blocks that were sampled stay in the profile until they are freed.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_profile_stop() {
    sampling::stop();
}

/// Writes the heap profile to the file `path`, or, if that is NULL, to where SPANDREL_HEAP_PROFILE says. False, and errno, if it cannot be
/// written; EBUSY if another thread is writing it, or if no samples were ever taken. May be called in a signal handler.
///
/// # Safety
/// - `path` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_profile_dump(path: *const c_char) -> bool {
    // SAFETY: the caller passes NULL or a C string.
    let path = (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) });
    told(sampling::dump(path))
}

/// Sets errno where there is no profile.
fn told(done: Result<(), NoProfile>) -> bool {
    if let Err(why) = done {
        errno::fail::<c_void>(match why {
            NoProfile::Unsampled => libc::ENOTSUP,
            NoProfile::NotNow => libc::EBUSY,
            NoProfile::File(error) => error,
        });
    }
    done.is_ok()
}

/// Stores the return addresses of the calling thread's stack in `frames`, the innermost first, at most `count`; how many there are. Allocates
/// nothing and takes no lock, so it may be called in a signal handler; the frames that the signal interrupted follow those of the
/// handler.
///
/// # Safety
/// - `frames` is writable for `count` addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_call_stack(frames: *mut usize, count: usize) -> usize {
    if frames.is_null() || count == 0 {
        return 0;
    }
    // SAFETY: the caller vouches for the array.
    unwind::capture(0, unsafe { core::slice::from_raw_parts_mut(frames, count) })
}
