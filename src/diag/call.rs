#![cfg_attr(feature = "export", expect(unsafe_code, reason = "reads a table that the assembler made"))]
//! The calls that a report can name, by where their functions start.
//!
//! The table has distances, not addresses: the loader has nothing to do for it, and a function of the same name that
//! the program defines is not mistaken for the allocator's.

#[cfg(feature = "export")]
use core::arch::{asm, global_asm};

use crate::base::text::Inline;
use crate::unwind::Trace;

/// The most bytes of a name.
const NAME_MAX: usize = 24;

/// A call of the program's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Call {
    /// As programmers write it.
    pub(super) name: Inline<NAME_MAX>,
    /// Whether it takes the block that a misuse is about. Others may find an earlier misuse.
    pub(super) takes_block: bool,
}

/// Calls that belong together: a block of one goes back by another of the same family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    // Not 0: so a static that names none is all zeroes.
    C = 1,
    New,
    NewArray,
}

impl Family {
    /// The call that makes a block.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::C => "malloc",
            Self::New => "new",
            Self::NewArray => "new[]",
        }
    }
}

impl Call {
    /// The family; `None` for calls that neither make nor free a block.
    fn family(self) -> Option<Family> {
        match self.name.text() {
            "malloc_usable_size" | "malloc_trim" | "spandrel_collect" | "spandrel_safepoint" => None,
            name if name.ends_with("[]") => Some(Family::NewArray),
            name if name.ends_with("new") || name.ends_with("delete") => Some(Family::New),
            _ => Some(Family::C),
        }
    }
}

/// The stack of the call by which the program came here, and the family of that call, if the program's instruction
/// names it.
pub(crate) fn trace() -> (Trace, Option<Family>) {
    let (trace, call) = Trace::of_call(at);
    (trace, call.and_then(Call::family))
}

macro_rules! calls {
    ($($symbol:literal $name:literal $takes_block:literal;)+) => {
        const CALLS: &[Call] = &[$(Call { name: Inline::of($name), takes_block: $takes_block }),+];

        #[cfg(feature = "export")]
        global_asm!(
            $(concat!(".set spandrel_call_", $symbol, ", ", $symbol),)+
            ".pushsection .rodata.spandrel_calls,\"a\",@progbits",
            ".balign 4",
            "spandrel_calls:",
            $(concat!(".long spandrel_call_", $symbol, " - spandrel_calls"),)+
            ".popsection",
        );
    };
}

calls! {
    "free" "free" true;
    "cfree" "cfree" true;
    "free_sized" "free_sized" true;
    "free_aligned_sized" "free_aligned_sized" true;
    "realloc" "realloc" true;
    "reallocarray" "reallocarray" true;
    "malloc_usable_size" "malloc_usable_size" true;
    "_ZdlPv" "delete" true;
    "_ZdaPv" "delete[]" true;
    "_ZdlPvm" "sized delete" true;
    "_ZdaPvm" "sized delete[]" true;
    "_ZdlPvSt11align_val_t" "aligned delete" true;
    "_ZdaPvSt11align_val_t" "aligned delete[]" true;
    "_ZdlPvmSt11align_val_t" "sized aligned delete" true;
    "_ZdaPvmSt11align_val_t" "sized aligned delete[]" true;
    "_ZdlPvRKSt9nothrow_t" "nothrow delete" true;
    "_ZdaPvRKSt9nothrow_t" "nothrow delete[]" true;
    "_ZdlPvSt11align_val_tRKSt9nothrow_t" "nothrow aligned delete" true;
    "_ZdaPvSt11align_val_tRKSt9nothrow_t" "nothrow aligned delete[]" true;
    "malloc" "malloc" false;
    "calloc" "calloc" false;
    "aligned_alloc" "aligned_alloc" false;
    "memalign" "memalign" false;
    "posix_memalign" "posix_memalign" false;
    "valloc" "valloc" false;
    "pvalloc" "pvalloc" false;
    "_Znwm" "new" false;
    "_Znam" "new[]" false;
    "_ZnwmSt11align_val_t" "aligned new" false;
    "_ZnamSt11align_val_t" "aligned new[]" false;
    "_ZnwmRKSt9nothrow_t" "nothrow new" false;
    "_ZnamRKSt9nothrow_t" "nothrow new[]" false;
    "_ZnwmSt11align_val_tRKSt9nothrow_t" "nothrow aligned new" false;
    "_ZnamSt11align_val_tRKSt9nothrow_t" "nothrow aligned new[]" false;
    "malloc_trim" "malloc_trim" false;
    "spandrel_alloc_at_least" "spandrel_alloc_at_least" false;
    "spandrel_collect" "spandrel_collect" false;
    "spandrel_safepoint" "spandrel_safepoint" false;
}

/// The call whose function starts at `address`.
#[cfg(feature = "export")]
pub(super) fn at(address: usize) -> Option<Call> {
    let table: usize;
    // SAFETY: computes an address.
    unsafe { asm!("lea {}, [rip + spandrel_calls]", out(reg) table, options(pure, nomem, nostack, preserves_flags)) };
    let first = core::ptr::with_exposed_provenance::<i32>(table);
    // SAFETY: the macro makes a distance for each call, and nothing changes them.
    let distances = unsafe { core::slice::from_raw_parts(first, CALLS.len()) };
    let starts = distances.iter().map(|&distance| table.wrapping_add_signed(distance as isize));
    starts.zip(CALLS).find(|(start, _)| *start == address).map(|(_, call)| *call)
}

/// The functions are not compiled: the program is written in Rust, and calls none.
#[cfg(not(feature = "export"))]
pub(super) fn at(_: usize) -> Option<Call> {
    None
}

/// Whether a function that programs call starts at `address`.
pub(crate) fn is_call(address: usize) -> bool {
    at(address).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_family_that_their_names_say() {
        let family = |name| CALLS.iter().find(|call| call.name.text() == name).and_then(|call| call.family());
        for name in ["malloc", "calloc", "realloc", "free", "cfree", "free_sized", "posix_memalign"] {
            assert_eq!(family(name), Some(Family::C), "{name}");
        }
        for name in ["new", "nothrow aligned new", "delete", "sized delete"] {
            assert_eq!(family(name), Some(Family::New), "{name}");
        }
        for name in ["new[]", "aligned new[]", "delete[]", "sized aligned delete[]"] {
            assert_eq!(family(name), Some(Family::NewArray), "{name}");
        }
        assert_eq!((family("malloc_usable_size"), family("malloc_trim")), (None, None));
    }
}
