#![expect(unsafe_code, reason = "exports and reads data of C; calls the program's functions")]
//! `malloc_stats_print`, and the data that jemalloc exports: `malloc_message` and `malloc_conf`.
//!
//! jemalloc's options (`MALLOC_CONF`, `malloc_conf`) have no effect. One line at the start of the process says so.

use core::arch::asm;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::AtomicPtr;

use crate::foreign::{self, JSON, STANDARD_ERROR, TEXT};

/// A function of the program that gets text.
pub(crate) type Print = unsafe extern "C" fn(opaque: *mut c_void, text: *const c_char);

// The program may define these names itself. Then its definitions count, so they are read where the dynamic linker
// leads, by [`data!`].
macro_rules! data_of_program {
    ($($name:ident $je:ident $rjem:ident: $what:literal;)+) => {$(
        #[doc = $what]
        #[unsafe(no_mangle)]
        static $name: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
        #[doc = $what]
        #[unsafe(no_mangle)]
        static $je: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
        #[doc = $what]
        #[unsafe(no_mangle)]
        static $rjem: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
    )+};
}

data_of_program! {
    malloc_message je_malloc_message _rjem_malloc_message: "The program's function for messages, or null.";
    malloc_conf je_malloc_conf _rjem_malloc_conf: "The program's options for jemalloc, or null.";
}

/// The pointer in the data of that name.
macro_rules! data {
    ($name:literal) => {{
        let place: *const *const c_void;
        // SAFETY: loads an address and has no other effect.
        unsafe {
            asm!(
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) place, options(pure, readonly, nostack, preserves_flags),
            );
        }
        // SAFETY: data of that name is a pointer, which a program sets before it has others read it.
        unsafe { place.read_volatile() }
    }};
}

/// The program's function for messages.
fn message() -> Option<Print> {
    let set = [data!("malloc_message"), data!("je_malloc_message"), data!("_rjem_malloc_message")];
    let found = set.into_iter().find(|function| !function.is_null())?;
    // SAFETY: the program stores a function of that type there, or null.
    Some(unsafe { core::mem::transmute::<*const c_void, Print>(found) })
}

/// Prints the figures: by `print`, or the program's function for messages, or on fd 2. With the option `J` as JSON; the
/// others select parts of jemalloc's statistics, and have no effect.
///
/// # Safety
/// - `print` may be called with `opaque` and a text; `options` is null or a C string.
pub(crate) unsafe fn malloc_stats_print(print: Option<Print>, opaque: *mut c_void, options: *const c_char) {
    // SAFETY: the caller passes null or a C string.
    let options = if options.is_null() { c"" } else { unsafe { CStr::from_ptr(options) } };
    let format = if options.to_bytes().contains(&b'J') { JSON } else { TEXT };
    let Some(print) = print.or_else(message) else {
        let _ = foreign::spandrel_stats_write(STANDARD_ERROR, format);
        return;
    };
    // SAFETY: the caller's condition.
    unsafe { through_file(print, opaque, format) };
}

/// Hands the figures to `print`, by way of a file in memory: libspandrel writes to descriptors alone.
///
/// # Safety
/// - `print` may be called with `opaque` and a text.
unsafe fn through_file(print: Print, opaque: *mut c_void, format: c_int) {
    const CLOSE_ON_EXEC: u32 = 1;
    // SAFETY: the name is a C string.
    let file = unsafe { foreign::memfd_create(c"spandrel-stats".as_ptr(), CLOSE_ON_EXEC) };
    if file < 0 {
        // SAFETY: the caller's condition.
        unsafe { print(opaque, c"spandrel: no statistics: the kernel refuses a file in memory\n".as_ptr()) };
        return;
    }
    let _ = foreign::spandrel_stats_write(file, format);
    let mut text = [0_u8; 1024];
    let mut at = 0;
    loop {
        let room = text.len() - 1;
        // SAFETY: the text has that much room.
        let read = unsafe { foreign::pread(file, text.as_mut_ptr().cast(), room, at) };
        let Some(end) = usize::try_from(read).ok().filter(|&read| read > 0).and_then(|read| text.get_mut(read)) else {
            break;
        };
        *end = 0;
        at += read as i64;
        // SAFETY: the caller's condition; the text ends with a zero.
        unsafe { print(opaque, text.as_ptr().cast()) };
    }
    let _ = foreign::close(file);
}

/// Whether the program or its environment has options for jemalloc.
fn has_options() -> bool {
    let set = |name: &CStr| {
        // SAFETY: the name is a C string.
        let value = unsafe { foreign::secure_getenv(name.as_ptr()) };
        // SAFETY: a value of the environment is a C string.
        !value.is_null() && unsafe { value.read() } != 0
    };
    [c"MALLOC_CONF", c"JE_MALLOC_CONF", c"_RJEM_MALLOC_CONF"].into_iter().any(set)
        || [data!("malloc_conf"), data!("je_malloc_conf"), data!("_rjem_malloc_conf")]
            .iter()
            .any(|text| !text.is_null())
}

/// Says that options of jemalloc have no effect, if there are any.
extern "C" fn on_load() {
    const LINE: &[u8] = b"spandrel: ALLOCATOR_BAD_OPTION: MALLOC_CONF: jemalloc's options have no effect; \
        Spandrel's are the variables SPANDREL_...\n";
    if has_options() {
        // SAFETY: the line has that many bytes.
        let _ = unsafe { foreign::write(STANDARD_ERROR, LINE.as_ptr().cast(), LINE.len()) };
    }
}

/// Runs before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;
