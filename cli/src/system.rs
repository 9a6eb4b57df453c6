#![expect(unsafe_code, reason = "asks the C library, which costs less to build than a package around it")]
//! Questions to the kernel that the standard library has no words for: input of several files, the state of a terminal,
//! the other side of a socket, a process as a file.
//!
//! Must not know: what the answers are for.

use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Waits until one of the files has input, or has ended, for so long at most: which of them. None if a signal came.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn wait_for_input<const N: usize>(
    files: [BorrowedFd<'_>; N],
    time: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut asked = files.map(|file| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // Up, so that nobody asks again and again within the last millisecond.
    let milliseconds = time.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: the array has N entries.
    let count = unsafe { libc::poll(asked.as_mut_ptr(), N as libc::nfds_t, milliseconds) };
    match count {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
            error => Err(error),
        },
        _ => Ok(asked.map(|file| file.revents != 0)),
    }
}

/// The state of a terminal.
pub(crate) struct Mode(libc::termios);

impl Mode {
    /// That of `terminal` now.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn of(terminal: &File) -> io::Result<Self> {
        let mut mode = MaybeUninit::uninit();
        // SAFETY: the place is large enough.
        done(unsafe { libc::tcgetattr(terminal.as_raw_fd(), mode.as_mut_ptr()) })?;
        // SAFETY: the call above filled it in.
        Ok(Self(unsafe { mode.assume_init() }))
    }

    /// The same, but each key comes as it is, at once, and is not shown.
    pub(crate) fn raw(&self) -> Self {
        let mut mode = self.0;
        // SAFETY: the structure is whole.
        unsafe { libc::cfmakeraw(&raw mut mode) };
        Self(mode)
    }

    /// Has `terminal` take it.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn put(&self, terminal: &File) -> io::Result<()> {
        // SAFETY: the structure is whole.
        done(unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, &raw const self.0) })
    }
}

/// Columns and rows of the terminal that standard output is; `None` where it does not say.
pub(crate) fn size_of_terminal() -> Option<(usize, usize)> {
    // SAFETY: all-zero bytes are a size.
    let mut size = unsafe { zeroed::<libc::winsize>() };
    // SAFETY: the structure is what this request fills in.
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (told == 0 && size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

/// The user of this process.
pub(crate) fn user() -> u32 {
    // SAFETY: asks a question.
    unsafe { libc::getuid() }
}

/// The user on the other side of a socket.
///
/// # Errors
/// Where it is no such socket.
pub(crate) fn user_beyond(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: all-zero bytes are such a structure.
    let mut peer = unsafe { zeroed::<libc::ucred>() };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let (place, level, what) = (&raw mut peer, libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: the place is as large as its length says.
    done(unsafe { libc::getsockopt(socket.as_raw_fd(), level, what, place.cast(), &raw mut len) })?;
    Ok(peer.uid)
}

/// Fills `bytes` with what is at `address` in process `id`; how many of them could be read.
///
/// # Errors
/// Where the process may not be traced, has ended, or has nothing at `address`.
pub(crate) fn read_memory(id: u32, address: usize, bytes: &mut [u8]) -> io::Result<usize> {
    let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let there = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: bytes.len() };
    // SAFETY: the first vector is one of `bytes`; the second is of another process, whatever that has there.
    let count = unsafe { libc::process_vm_readv(id as libc::pid_t, &raw const here, 1, &raw const there, 1, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// A file that stands for a process, and ends with it.
///
/// # Errors
/// Where there is no such process.
pub(crate) fn process_as_file(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers alone.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) } as i32;
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and nothing else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Does `work`, which makes files that no other user may open.
pub(crate) fn with_private_files<T>(work: impl FnOnce() -> T) -> T {
    const NO_OTHERS: libc::mode_t = 0o177;
    // SAFETY: takes a number; nothing else of this command makes files meanwhile.
    let before = unsafe { libc::umask(NO_OTHERS) };
    let done = work();
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    done
}

/// Has the kernel refuse this process more than so many bytes of memory, and end it after so many seconds of CPU time.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn bound_itself(memory: u64, seconds: u64) -> io::Result<()> {
    for (resource, most) in [(libc::RLIMIT_AS, memory), (libc::RLIMIT_CPU, seconds), (libc::RLIMIT_CORE, 0)] {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is what the call fills in.
        done(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
        limit.rlim_cur = limit.rlim_max.min(most);
        // SAFETY: the structure is whole.
        done(unsafe { libc::setrlimit(resource, &raw const limit) })?;
    }
    Ok(())
}

fn done(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
