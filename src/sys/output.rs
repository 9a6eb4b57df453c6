#![expect(unsafe_code, reason = "system calls")]
//! A file that comes to be all at once: written beside its place and then renamed, so that nobody meets half of it. Must not know what
//! it says.

use core::ffi::CStr;

use super::call::{Errno, raw};

/// Most bytes of a path, the final zero included.
pub(crate) const PATH_BYTES: usize = 1024;

/// A path being put together; one that does not fit is refused when it is used.
pub(crate) struct Path {
    bytes: [u8; PATH_BYTES],
    len: usize,
}

impl Path {
    /// The empty path.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; PATH_BYTES], len: 0 }
    }

    /// Adds bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            // The last byte stays zero.
            if self.len < PATH_BYTES - 1
                && let Some(place) = self.bytes.get_mut(self.len)
            {
                *place = byte;
            }
            self.len += 1;
        }
        self
    }

    /// Adds a decimal number.
    pub(crate) fn number(&mut self, value: usize) -> &mut Self {
        if value >= 10 {
            self.number(value / 10);
        }
        self.raw(&[b'0' + (value % 10) as u8])
    }

    /// As the kernel takes it; `None` if it did not fit.
    pub(crate) fn finish(&self) -> Option<&CStr> {
        let bytes = self.bytes.get(..=self.len)?;
        CStr::from_bytes_with_nul(bytes).ok()
    }
}

/// See the module.
pub(crate) struct Output<'a> {
    path: &'a CStr,
    beside: Path,
    descriptor: usize,
    /// What failed first.
    error: Option<i32>,
}

const MODE: usize = 0o644;

impl<'a> Output<'a> {
    /// Begins a file that is to be at `path`; the error number if that cannot be.
    pub(crate) fn begin(path: &'a CStr) -> Result<Self, i32> {
        let mut beside = Path::new();
        beside.raw(path.to_bytes()).raw(b".").number(super::call::process_id() as usize).raw(b".part");
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        let Some(place) = beside.finish() else { return Err(libc::ENAMETOOLONG) };
        let arguments = [libc::AT_FDCWD as usize, place.as_ptr().addr(), flags as usize, MODE, 0, 0];
        // SAFETY: the path is a C string.
        let descriptor = unsafe { raw(libc::SYS_openat, arguments) }.map_err(|Errno(error)| error)?;
        Ok(Self { path, beside, descriptor, error: None })
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while self.error.is_none() && !bytes.is_empty() {
            // SAFETY: `bytes` is readable for its length.
            match unsafe { raw(libc::SYS_write, [self.descriptor, bytes.as_ptr().addr(), bytes.len(), 0, 0, 0]) } {
                Ok(0) => self.error = Some(libc::ENOSPC),
                Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
                Err(Errno(libc::EINTR)) => {}
                Err(Errno(error)) => self.error = Some(error),
            }
        }
    }

    /// Puts the file in its place, or removes it where something failed: the error number.
    pub(crate) fn finish(mut self) -> Result<(), i32> {
        // SAFETY: `begin` opened the descriptor, and it is nobody else's.
        let closed = unsafe { raw(libc::SYS_close, [self.descriptor, 0, 0, 0, 0, 0]) };
        self.note(closed);
        let Some(beside) = self.beside.finish().map(|beside| beside.as_ptr().addr()) else { return Err(libc::ENAMETOOLONG) };
        if self.error.is_none() {
            // SAFETY: both paths are C strings.
            let renamed = unsafe { raw(libc::SYS_rename, [beside, self.path.as_ptr().addr(), 0, 0, 0, 0]) };
            self.note(renamed);
        }
        let Some(error) = self.error else { return Ok(()) };
        // SAFETY: the path is a C string.
        let _ = unsafe { raw(libc::SYS_unlink, [beside, 0, 0, 0, 0, 0]) };
        Err(error)
    }

    fn note(&mut self, done: Result<usize, Errno>) {
        if let Err(Errno(error)) = done {
            self.error.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_together_and_refused_when_too_long() {
        let mut path = Path::new();
        path.raw(b"a.").number(0).raw(b".").number(1234);
        assert_eq!(path.finish(), Some(c"a.0.1234"));
        path.raw(&[b'x'; PATH_BYTES]);
        assert_eq!(path.finish(), None);
        assert_eq!(Path::new().raw(b"a\0b").finish(), None);
    }

    #[test]
    fn files_come_to_be_at_the_end_or_not_at_all() {
        let place = std::env::temp_dir().join(format!("spandrel-output-{}", std::process::id()));
        let name = std::ffi::CString::new(place.to_str().unwrap()).unwrap();
        let mut output = Output::begin(&name).ok().unwrap();
        output.write(b"whole");
        assert!(!place.exists());
        assert_eq!(output.finish(), Ok(()));
        assert_eq!(std::fs::read(&place).unwrap(), b"whole");
        std::fs::remove_file(place).unwrap();
        assert_eq!(Output::begin(c"/no/such/folder/file").err(), Some(libc::ENOENT));
        let mut full = Output::begin(&name).ok().unwrap();
        full.error = Some(libc::ENOSPC);
        full.write(b"nothing");
        assert_eq!(full.finish(), Err(libc::ENOSPC));
        assert!(std::fs::read(name.to_str().unwrap()).is_err());
    }
}
