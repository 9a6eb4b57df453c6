#![expect(unsafe_code, reason = "fills pages with a file")]
//! The file that `SPANDREL_CONF` names: its lines become entries before those of the environment.
//!
//! A line may be the one that sets a limit, so the process does not go on without a file that it cannot read whole.

use core::ffi::CStr;

use crate::config;
use crate::diag::{self, Code};
use crate::sys::startup::{self, Startup};
use crate::sys::{call, file, memory};

const NAME: &[u8] = b"SPANDREL_CONF=";
/// More than all options need. The pages behind the text stay untouched.
const BYTES_MAX: usize = 64 << 10;
/// How the loader, too, ends a process that it cannot start.
const CANNOT_START: i32 = 127;

/// Adds the lines of the file that the environment names, if it names one.
#[cold]
#[inline(never)]
pub(super) fn add(startup: Startup) {
    let Some(path) = startup.variable(NAME).filter(|path| !path.is_empty()) else { return };
    let has_slash = path.to_bytes().contains(&b'/');
    match if has_slash { lines(path) } else { Err(&b"takes a path with a slash; the process ends"[..]) } {
        Ok(lines) => startup::add(lines),
        Err(what) => refuse(&[NAME, path.to_bytes(), b": ", what]),
    }
}

/// Prints a line about an option and ends the process.
#[cold]
#[inline(never)]
pub(super) fn refuse(parts: &[&[u8]]) {
    diag::line(Code::BadOption, parts);
    call::exit(CANNOT_START);
}

/// The file's lines, each ended by a null byte; what is wrong with the file.
fn lines(path: &CStr) -> Result<&'static [u8], &'static [u8]> {
    let address = memory::map(BYTES_MAX).map_err(|_| &b"no memory to read it; the process ends"[..])?;
    // SAFETY: the pages were just mapped, readable and writable, and nothing unmaps them.
    let room =
        unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut::<u8>(address), BYTES_MAX) };
    let len = file::read(path, room).ok_or(&b"cannot be read; the process ends"[..])?.len();
    let text = room.get_mut(..len).unwrap_or_default();
    // The entries end with a null byte, and a file may lack its last line's end.
    if len == BYTES_MAX {
        return Err(b"has 64 KiB or more; the process ends");
    }
    for line in text.split_mut(|&byte| byte == b'\n') {
        let start = line.trim_ascii_start();
        if start.is_empty() || start.starts_with(b"#") {
            line.fill(0);
        } else if start.starts_with(NAME) {
            return Err(b"names a file itself; the process ends");
        } else if !start.starts_with(config::PREFIX) || !start.contains(&b'=') {
            return Err(b"has a line that is no SPANDREL_NAME=VALUE; the process ends");
        }
    }
    // Spaces behind a value do not belong to it, so it ends before them.
    let mut behind = true;
    for byte in text.iter_mut().rev() {
        behind = *byte == b'\n' || *byte == 0 || (behind && byte.is_ascii_whitespace());
        if behind {
            *byte = 0;
        }
    }
    Ok(room.get(..=len).unwrap_or_default())
}
