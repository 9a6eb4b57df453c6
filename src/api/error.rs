//! The error number of each cause for which a request of the program fails: C's functions store it in errno, Rust's
//! make an `io::Error` of it.

use crate::control::heaps::NoHeap;
use crate::process::holders::Unavailable;
use crate::profile::sampling::NoProfile;
use crate::slow_path::table::NoSwitch;

/// A cause for which a request fails.
pub(super) trait ErrorNumber {
    fn error_number(self) -> i32;
}

impl ErrorNumber for Unavailable {
    fn error_number(self) -> i32 {
        match self {
            Self::Gone => libc::EINVAL,
            Self::InUse => libc::EBUSY,
            Self::Memory => libc::ENOMEM,
            Self::Inside => libc::EAGAIN,
        }
    }
}

impl ErrorNumber for NoHeap {
    fn error_number(self) -> i32 {
        match self {
            Self::Inside => libc::EAGAIN,
            Self::Memory => libc::ENOMEM,
            Self::Unserved => libc::ENOTSUP,
        }
    }
}

impl ErrorNumber for NoProfile {
    fn error_number(self) -> i32 {
        self.number()
    }
}

impl ErrorNumber for NoSwitch {
    fn error_number(self) -> i32 {
        match self {
            Self::Unknown => libc::EINVAL,
            Self::TooMany => libc::ENOSPC,
            Self::Unsafe => libc::ENOTSUP,
        }
    }
}

/// True, or false with errno.
#[cfg(feature = "export")]
pub(super) fn or_errno(done: Result<(), impl ErrorNumber>) -> bool {
    match done {
        Ok(()) => true,
        Err(cause) => super::c::refuse(cause.error_number()),
    }
}

/// The error of Rust's functions for a cause.
#[cfg(not(feature = "export"))]
pub(super) fn of(cause: impl ErrorNumber) -> std::io::Error {
    of_number(cause.error_number())
}

/// The error of Rust's functions that has the number.
#[cfg(not(feature = "export"))]
pub(super) fn of_number(number: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(number)
}
