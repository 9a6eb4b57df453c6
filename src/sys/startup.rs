#![expect(unsafe_code, reason = "walks the process's initial stack")]
//! The environment and the auxiliary vector, which the kernel puts on the stack at program start.
//!
//! malloc is called before the C library has set `environ`, so both are found from where the stack began. Must not know
//! any option.

use core::ffi::{CStr, c_char};

use super::atomic::{AtomicPtr, AtomicUsize, Ordering};

unsafe extern "C" {
    /// ld.so's record of the initial stack pointer: `argc`, then `argv`, then the environment, then the auxiliary
    /// vector.
    static __libc_stack_end: *const usize;
    static environ: *const *const c_char;
}

/// The process's initial stack.
#[derive(Clone, Copy)]
pub(crate) struct Startup {
    environment: *const *const c_char,
    auxiliary: *const [usize; 2],
}

/// The kernel takes fewer arguments than this.
const ARGUMENTS_MAX: usize = 1 << 24;
const PAGE_BYTES_USUAL: usize = 4096;

/// Entries before those of the environment, each ended by a null byte; null if there are none. Written once, while the
/// process starts.
static ADDED: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// Bytes of them.
static ADDED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Puts `entries`, each ended by a null byte, before those of the environment.
pub(crate) fn add(entries: &'static [u8]) {
    // Relaxed: the Release below publishes it.
    ADDED_BYTES.store(entries.len(), Ordering::Relaxed);
    // Release pairs with the Acquire in `added`.
    ADDED.store(entries.as_ptr().cast_mut(), Ordering::Release);
}

fn added() -> &'static [u8] {
    // Acquire pairs with the Release in `add`.
    let entries = ADDED.load(Ordering::Acquire);
    if entries.is_null() {
        return &[];
    }
    // Relaxed: see `add`.
    let bytes = ADDED_BYTES.load(Ordering::Relaxed);
    // SAFETY: `add` got a slice of that address and length, which lives as long as the process.
    unsafe { core::slice::from_raw_parts(entries, bytes) }
}

/// Where the initial stack begins: everything of the main thread's stack lies below.
pub(crate) fn stack_end() -> usize {
    // SAFETY: ld.so set it before any other code ran.
    unsafe { __libc_stack_end }.addr()
}

/// Where ld.so says. In a program linked statically the word is there but means something else: then no sane argc is
/// found.
fn environment_from_stack() -> Option<*const *const c_char> {
    // SAFETY: set before any other code of the process ran.
    let stack = unsafe { __libc_stack_end };
    if stack.is_null() {
        return None;
    }
    // SAFETY: the kernel puts argc where ld.so found the stack; a static start-up leaves a word of its own there.
    let count = unsafe { stack.read() };
    if count == 0 || count > ARGUMENTS_MAX {
        return None;
    }
    // SAFETY: argv has `count` entries and a null one, all behind argc.
    Some(unsafe { stack.add(count + 2) }.cast())
}

/// Where a static start-up put it before it ran anything else.
fn environment_from_libc() -> Option<*const *const c_char> {
    // SAFETY: the word exists in every C library.
    let environment = unsafe { environ };
    (!environment.is_null()).then_some(environment)
}

impl Startup {
    /// Finds the initial stack; `None` if there is no trace of it.
    pub(crate) fn find() -> Option<Self> {
        let environment = environment_from_stack().or_else(environment_from_libc)?;
        let mut end = environment;
        // SAFETY: the environment ends with a null entry, which this loop does not pass.
        while !unsafe { end.read() }.is_null() {
            // SAFETY: not yet at the null entry.
            end = unsafe { end.add(1) };
        }
        // SAFETY: the auxiliary vector follows the null entry.
        let auxiliary = unsafe { end.add(1) }.cast();
        Some(Self { environment, auxiliary })
    }

    /// The value of `name`, which ends in an equals sign, in the environment.
    pub(crate) fn variable(self, name: &[u8]) -> Option<&'static CStr> {
        let entry = self.environment().filter(|entry| entry.starts_with(name)).last()?;
        // SAFETY: the entry is a C string, longer than the name.
        Some(unsafe { CStr::from_ptr(entry.as_ptr().wrapping_add(name.len()).cast()) })
    }

    /// Whether an entry of the process's own environment begins with `prefix`. Reads no further than they are equal: a
    /// process that does nothing else with its environment touches no page of the C library's `strlen`.
    pub(crate) fn has_entry(self, prefix: &[u8]) -> bool {
        let mut next = self.environment;
        loop {
            // SAFETY: `next` has not passed the null entry.
            let entry = unsafe { next.read() };
            if entry.is_null() {
                return false;
            }
            let is_equal = |(at, &wanted): (usize, &u8)| {
                // SAFETY: the bytes before are equal to the prefix's, so none of them is the end of this C string.
                let byte = unsafe { entry.wrapping_add(at).read() };
                byte as u8 == wanted
            };
            if prefix.iter().enumerate().all(is_equal) {
                return true;
            }
            // SAFETY: not at the null entry.
            next = unsafe { next.add(1) };
        }
    }

    /// The environment's strings, `NAME=value` each, behind those that [`add`] put before them.
    pub(crate) fn environment(self) -> impl Iterator<Item = &'static [u8]> + Clone {
        let mut next = self.environment;
        let own = core::iter::from_fn(move || {
            // SAFETY: `next` has not passed the null entry.
            let entry = unsafe { next.read() };
            if entry.is_null() {
                return None;
            }
            // SAFETY: not at the null entry.
            next = unsafe { next.add(1) };
            // SAFETY: each entry is a C string that lives as long as the process.
            Some(unsafe { CStr::from_ptr(entry) }.to_bytes())
        });
        let added = added().split(|&byte| byte == 0).map(<[u8]>::trim_ascii_start);
        added.filter(|entry| !entry.is_empty()).chain(own)
    }

    /// Whether the process has privileges its user lacks, so that its environment must not be believed.
    pub(crate) fn is_secure(self) -> bool {
        self.auxiliary(libc::AT_SECURE as usize).unwrap_or(0) != 0
    }

    pub(crate) fn page_bytes(self) -> usize {
        self.auxiliary(libc::AT_PAGESZ as usize).unwrap_or(PAGE_BYTES_USUAL)
    }

    /// The path by which the program was started.
    pub(crate) fn program_path(self) -> Option<&'static CStr> {
        let path = self.auxiliary(libc::AT_EXECFN as usize)?;
        // SAFETY: the kernel put a C string there.
        (path != 0).then(|| unsafe { CStr::from_ptr(core::ptr::with_exposed_provenance(path)) })
    }

    /// Where the program's own header says its segments are.
    pub(crate) fn program_segments(self) -> Option<usize> {
        self.auxiliary(libc::AT_PHDR as usize)
    }

    fn auxiliary(self, wanted: usize) -> Option<usize> {
        let mut next = self.auxiliary;
        loop {
            // SAFETY: the vector ends with an AT_NULL entry, which this loop does not pass.
            let [kind, value] = unsafe { next.read() };
            if kind == libc::AT_NULL as usize {
                return None;
            }
            if kind == wanted {
                return Some(value);
            }
            // SAFETY: not yet at AT_NULL.
            next = unsafe { next.add(1) };
        }
    }
}
