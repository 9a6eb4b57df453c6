#![expect(unsafe_code, reason = "reads and writes the values of callers")]
//! `mallctl` by name and by number: finds the row of [`crate::names`], and carries values between it and the caller.
//!
//! The numbers of a name (its MIB) are the row in the first place, and the numbers that the name has in theirs. So a
//! program may put another number into `arenas.bin.0.size`, as jemalloc's manual shows.

use core::ffi::{CStr, c_char, c_int, c_void};

use crate::foreign::Errno;
use crate::names::NAMES;

/// The answer of a row.
pub(crate) type Done = Result<(), Errno>;

/// The most numbers in a name.
const NUMBERS_MAX: usize = 2;
/// The most parts of a name.
const PARTS_MAX: usize = 8;

/// A value that a program may read or write.
///
/// # Safety
/// - Every pattern of bits is a value.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: every pattern of bits is a value.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for usize {}
// SAFETY: as above.
unsafe impl Plain for *const c_char {}
// SAFETY: as above.
unsafe impl Plain for *const c_void {}

/// A call of `mallctl`: where the old value goes, where the new one is, and the numbers in the name.
pub(crate) struct Call {
    old: *mut c_void,
    old_size: *mut usize,
    new: *const c_void,
    new_size: usize,
    numbers: [usize; NUMBERS_MAX],
}

impl Call {
    /// The first number in the name.
    pub(crate) fn first(&self) -> usize {
        self.numbers[0]
    }

    /// The second number in the name.
    pub(crate) fn second(&self) -> usize {
        self.numbers[1]
    }

    /// Gives the old value to a caller that asks for one. One of another size gets what fits, and an error.
    pub(crate) fn give<T: Plain>(&self, value: T) -> Done {
        if self.old.is_null() || self.old_size.is_null() {
            return Ok(());
        }
        // SAFETY: the caller of `mallctl` passes a size that can be read.
        let room = unsafe { self.old_size.read() };
        let fits = room.min(size_of::<T>());
        // SAFETY: the caller says that so many bytes are writable there.
        unsafe { (&raw const value).cast::<u8>().copy_to_nonoverlapping(self.old.cast(), fits) };
        if fits == size_of::<T>() && fits == room {
            return Ok(());
        }
        // SAFETY: the caller passes a size that can be written.
        unsafe { self.old_size.write(fits) };
        Err(Errno::INVALID)
    }

    /// The new value, if the caller has one.
    pub(crate) fn take<T: Plain>(&self) -> Result<Option<T>, Errno> {
        if self.new.is_null() {
            return Ok(None);
        }
        if self.new_size != size_of::<T>() {
            return Err(Errno::INVALID);
        }
        // SAFETY: the caller passes a value of that size, and every pattern of bits is one.
        Ok(Some(unsafe { self.new.cast::<T>().read_unaligned() }))
    }

    /// A value that can be read and not written.
    pub(crate) fn read<T: Plain>(&self, value: T) -> Done {
        if !self.new.is_null() || self.new_size != 0 {
            return Err(Errno::PERM);
        }
        self.give(value)
    }

    /// The new value, if there is one, of what can be written and not read.
    pub(crate) fn written<T: Plain>(&self) -> Result<Option<T>, Errno> {
        if self.old.is_null() && self.old_size.is_null() { self.take() } else { Err(Errno::PERM) }
    }

    /// An action, with a value in neither direction.
    pub(crate) fn act(&self, action: impl FnOnce()) -> Done {
        if self.old.is_null() && self.old_size.is_null() && self.new.is_null() && self.new_size == 0 {
            action();
            return Ok(());
        }
        Err(Errno::PERM)
    }
}

/// The numbers of a name.
struct Found {
    parts: [usize; PARTS_MAX],
    count: usize,
}

/// Finds the row of a name. `#` stands for a number in the names of rows.
fn find(name: &[u8]) -> Option<Found> {
    NAMES.iter().enumerate().find_map(|(row, candidate)| {
        let mut found = Found { parts: [0; PARTS_MAX], count: 0 };
        let mut pattern = candidate.name.as_bytes().split(is_dot);
        for part in name.split(is_dot) {
            let place = found.parts.get_mut(found.count)?;
            match pattern.next()? {
                b"#" => *place = number(part)?,
                same if same == part => {}
                _ => return None,
            }
            found.count += 1;
        }
        found.parts[0] = row;
        pattern.next().is_none().then_some(found)
    })
}

fn is_dot(byte: &u8) -> bool {
    *byte == b'.'
}

/// The decimal number; `None` for other text.
fn number(text: &[u8]) -> Option<usize> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    let add = |sum: usize, byte: &u8| sum.checked_mul(10)?.checked_add(digit(byte)?);
    if text.is_empty() { None } else { text.iter().try_fold(0, add) }
}

/// Calls the row that `parts` begins with; its numbers are those that its name has `#` for.
fn call_row(parts: &[usize], mut call: Call) -> Done {
    let row = parts.first().and_then(|&row| NAMES.get(row)).ok_or(Errno::NO_ENTRY)?;
    let pattern = || row.name.as_bytes().split(is_dot);
    if pattern().count() != parts.len() {
        return Err(Errno::NO_ENTRY);
    }
    let numbers = pattern().zip(parts).filter(|(part, _)| *part == b"#").map(|(_, &number)| number);
    for (place, number) in call.numbers.iter_mut().zip(numbers) {
        *place = number;
    }
    (row.answer)(&call)
}

fn status(done: Done) -> c_int {
    done.map_or_else(|error| error.0, |()| 0)
}

/// The bytes of a name; none for null.
///
/// # Safety
/// - `name` is null or a C string that outlives the result.
unsafe fn bytes<'a>(name: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's condition.
    if name.is_null() { &[] } else { unsafe { CStr::from_ptr(name) }.to_bytes() }
}

/// Reads and writes the value of a name, or does what it stands for.
///
/// # Safety
/// - `name` is null or a C string; the others are null or as jemalloc's manual wants them.
pub(crate) unsafe fn mallctl(
    name: *const c_char,
    old: *mut c_void,
    old_size: *mut usize,
    new: *const c_void,
    new_size: usize,
) -> c_int {
    // SAFETY: the caller's condition.
    let Some(found) = find(unsafe { bytes(name) }) else { return Errno::NO_ENTRY.0 };
    let parts = found.parts.get(..found.count).unwrap_or_default();
    status(call_row(parts, Call { old, old_size, new, new_size, numbers: [0; NUMBERS_MAX] }))
}

/// Stores the numbers of a name in `mib`, which has room for `*count`, and how many they are in `*count`.
///
/// # Safety
/// - `name` is null or a C string; `count` can be read and written, and `mib` has so many places.
pub(crate) unsafe fn mallctlnametomib(name: *const c_char, mib: *mut usize, count: *mut usize) -> c_int {
    // SAFETY: the caller's condition.
    let Some(found) = find(unsafe { bytes(name) }) else { return Errno::NO_ENTRY.0 };
    // SAFETY: the caller's condition.
    let room = unsafe { count.read() };
    if found.count > room {
        return Errno::INVALID.0;
    }
    // SAFETY: the caller says that there is room.
    unsafe { found.parts.as_ptr().copy_to_nonoverlapping(mib, found.count) };
    // SAFETY: the caller's condition.
    unsafe { count.write(found.count) };
    0
}

/// As [`mallctl`], by the numbers of a name.
///
/// # Safety
/// - `mib` has `count` numbers; the others are null or as jemalloc's manual wants them.
pub(crate) unsafe fn mallctlbymib(
    mib: *const usize,
    count: usize,
    old: *mut c_void,
    old_size: *mut usize,
    new: *const c_void,
    new_size: usize,
) -> c_int {
    if mib.is_null() {
        return Errno::NO_ENTRY.0;
    }
    // SAFETY: the caller's condition.
    let parts = unsafe { core::slice::from_raw_parts(mib, count) };
    status(call_row(parts, Call { old, old_size, new, new_size, numbers: [0; NUMBERS_MAX] }))
}
