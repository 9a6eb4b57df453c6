//! A frame: the registers with which a caller goes on. Only those are followed from which frames of compiled code are found.

use core::arch::asm;

/// Where a thread is in its code and on its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registers {
    /// The instruction pointer.
    pub(super) rip: usize,
    /// The stack pointer.
    pub(super) rsp: usize,
    /// The frame pointer, or whatever the code uses the register for.
    pub(super) rbp: usize,
}

/// DWARF's numbers of the registers.
pub(super) const RBP: u64 = 6;
pub(super) const RSP: u64 = 7;
pub(super) const RIP: u64 = 16;

impl Registers {
    /// Those at the place of the call.
    #[inline(always)]
    #[expect(unsafe_code, reason = "reads registers")]
    pub(super) fn here() -> Self {
        let (rip, rsp, rbp);
        // SAFETY: reads registers.
        unsafe {
            asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp", out(reg) rip, out(reg) rsp, out(reg) rbp,
                options(nomem, nostack, preserves_flags));
        }
        Self { rip, rsp, rbp }
    }

    /// By DWARF's number; `None` for those that are not followed.
    pub(super) fn get(&self, number: u64) -> Option<usize> {
        match number {
            RBP => Some(self.rbp),
            RSP => Some(self.rsp),
            RIP => Some(self.rip),
            _ => None,
        }
    }
}
