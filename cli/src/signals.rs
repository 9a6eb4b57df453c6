#![expect(unsafe_code, reason = "asks the C library about signals, which the standard library has no words for")]
//! Signals: those that end this command, held back while it has a program to look after, and the one of a closed pipe.
//!
//! Must not know: what is done about any of them.

use crate::system::wait_for_input;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::Command;
use std::time::Duration;

/// Has a closed pipe end this command without a word, as it ends other commands.
pub(crate) fn end_with_closed_pipes() {
    // SAFETY: sets the default action, which calls no code of this program.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A signal that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Came {
    pub(crate) signal: i32,
    /// Whether a process sent it to this one alone; a terminal sends its signals to all processes in front of it.
    pub(crate) is_own: bool,
}

const HELD: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD];

fn set() -> libc::sigset_t {
    // SAFETY: all-zero bytes are a set of signals.
    let mut set = unsafe { std::mem::zeroed::<libc::sigset_t>() };
    for signal in HELD {
        // SAFETY: the set is this function's, the signal exists.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Signals that wait to be read instead of ending this command: those that end it, and that of a child's end.
pub(crate) struct Held(File);

impl Held {
    /// Holds them back from now on, in this process and in those that it starts without [`tie`].
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn begin() -> Result<Self> {
        let set = set();
        // SAFETY: the set is whole; the old one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        // SAFETY: the set is whole; -1 asks for a new descriptor.
        let number = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) };
        if number < 0 {
            return Err(io::Error::last_os_error()).context("signalfd");
        }
        // SAFETY: the descriptor is open and nothing else's.
        Ok(Self(unsafe { File::from_raw_fd(number) }))
    }

    /// The next one; `None` if none comes within `time`.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn next(&mut self, time: Option<Duration>) -> Result<Option<Came>> {
        if wait_for_input([self.0.as_fd()], time)? == [false] {
            return Ok(None);
        }
        const SIGNAL: usize = std::mem::offset_of!(libc::signalfd_siginfo, ssi_signo);
        const CODE: usize = std::mem::offset_of!(libc::signalfd_siginfo, ssi_code);
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        self.0.read_exact(&mut bytes)?;
        let number = |at: usize| bytes[at..at + 4].try_into().map_or(0, i32::from_ne_bytes);
        Ok(Some(Came { signal: number(SIGNAL), is_own: number(CODE) <= 0 }))
    }
}

/// Has input when a signal waits.
impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends any signal, one without a name as well. A process that is gone gets none.
pub(crate) fn send(process: u32, signal: i32) {
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: takes no pointer.
        unsafe { libc::kill(process, signal) };
    }
}

/// Has the kernel kill the command's process when this one is gone, whatever ended it. Signals that are held back here
/// reach that process as ever.
pub(crate) fn tie(command: &mut Command) {
    let parent = std::process::id();
    let tie = move || {
        let set = set();
        // SAFETY: the set is whole; the old one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
        // SAFETY: takes no pointer.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        // This process may have ended before.
        if parent_id() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    // SAFETY: a few system calls, which allocate nothing and take no lock.
    unsafe { command.pre_exec(tie) };
}
