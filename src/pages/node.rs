#![expect(unsafe_code, reason = "tells the kernel where pages go")]
//! NUMA: on which nodes the kernel places the pages of the data area and of mappings of their own. Raw system calls, no library.

use crate::config::Numa;
use crate::sys::memory::{self, NODE_WORDS};

/// See the module.
pub(crate) struct Placement {
    mode: u32,
    nodes: [u64; NODE_WORDS],
}

const WORD_BITS: usize = u64::BITS as usize;

impl Placement {
    /// Wherever the process's own policy says.
    pub(crate) const UNSAID: Self = Self { mode: libc::MPOL_DEFAULT as u32, nodes: [0; NODE_WORDS] };

    /// What `numa` asks for; `None` if the kernel does not know of nodes, or not of that one.
    pub(crate) fn of(numa: Numa) -> Option<Self> {
        let allowed = memory::allowed_nodes()?;
        match numa {
            Numa::Off => Some(Self::UNSAID),
            Numa::Local => Some(Self { mode: libc::MPOL_LOCAL as u32, nodes: [0; NODE_WORDS] }),
            Numa::Interleave => Some(Self { mode: libc::MPOL_INTERLEAVE as u32, nodes: allowed }),
            Numa::Bind(node) => {
                let (word, bit) = (node / WORD_BITS, 1 << (node % WORD_BITS));
                let mut nodes = [0; NODE_WORDS];
                *nodes.get_mut(word)? = allowed.get(word)? & bit;
                nodes.iter().any(|&word| word != 0).then_some(Self { mode: libc::MPOL_BIND as u32, nodes })
            }
        }
    }

    /// Has the kernel place the pages of a range so, from the next touch on; false if it refuses.
    pub(crate) fn apply(&self, address: usize, len: usize) -> bool {
        // SAFETY: callers pass memory of ours; where its pages are is nobody's business but the kernel's.
        self.mode == libc::MPOL_DEFAULT as u32 || unsafe { memory::place(address, len, self.mode, &self.nodes) }.is_ok()
    }
}
