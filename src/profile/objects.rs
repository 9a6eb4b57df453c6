//! The loaded object whose code asked for a sampled block. Code that asks on behalf of its callers does not count: that
//! of the allocator, the C library, the C++ library and the dynamic linker. With `SPANDREL_ACCOUNT=object` each object
//! has a bill, of estimates.

use crate::central::Bill;
use crate::pages::limits::UNLIMITED;
use crate::process::holders::{Kind, on_account};
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::unwind;

/// Whether objects have bills. Written by the start, read by any thread.
static BILLED: AtomicBool = AtomicBool::new(false);

/// How the file names of those begin.
const HELPERS: &[u8] = b"libspandrel libc.so libstdc++.so libc++ libgcc_s.so libm.so libpthread.so ld-linux";
/// The name for code that lies in no object.
const NOWHERE: &[u8] = b"(no object)";

/// Has objects have bills. Part of the start.
pub(super) fn begin() {
    // Relaxed: the start barrier publishes it.
    BILLED.store(true, Ordering::Relaxed);
}

/// The bill of the object that asks by the stack `frames`; `None` where objects have none, or there is no memory for
/// one.
pub(super) fn bill_of(frames: &[usize]) -> Option<&'static Bill> {
    let mut found = None;
    // Relaxed: as above.
    if BILLED.load(Ordering::Relaxed) {
        on_account(Kind::Object, of(frames), || (UNLIMITED, UNLIMITED), |bill| found = Some(bill));
    }
    found
}

/// The file name of the object, by the stack of the request, the innermost frame first.
fn of(frames: &[usize]) -> &'static [u8] {
    let mut names = frames.iter().map(|&frame| name(unwind::object_of(frame)));
    let innermost = names.clone().next().unwrap_or(NOWHERE);
    names.find(|name| !is_helper(name)).unwrap_or(innermost)
}

fn name(path: &'static [u8]) -> &'static [u8] {
    match path.rsplit(|&byte| byte == b'/').next() {
        Some(name) if !name.is_empty() => name,
        _ => NOWHERE,
    }
}

fn is_helper(name: &[u8]) -> bool {
    HELPERS.split(|&byte| byte == b' ').any(|helper| name.starts_with(helper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_the_name_of_its_file() {
        assert_eq!(name(b"/usr/lib/x86_64-linux-gnu/libz.so.1"), b"libz.so.1");
        assert_eq!(name(b"linux-vdso.so.1"), b"linux-vdso.so.1");
        assert_eq!((name(b""), name(b"/")), (NOWHERE, NOWHERE));
    }

    #[test]
    fn helpers_ask_for_their_callers() {
        let (own, libc) =
            (an_object_is_known_by_the_name_of_its_file as fn() as usize + 1, libc::getpid as *const () as usize + 2);
        let file = std::env::current_exe().unwrap();
        let program = file.file_name().unwrap().to_str().unwrap().as_bytes();
        assert_eq!(of(&[libc, own]), program);
        assert_eq!(of(&[own, libc]), program);
        assert!(of(&[libc]).starts_with(b"libc.so"));
        assert_eq!(of(&[17, own]), NOWHERE);
        assert_eq!(of(&[]), NOWHERE);
    }
}
