//! The slow path: every call that the fast path does not serve, in every state of process and thread.
//!
//! ```text
//! alloc                          the mode in force serves; see `mode`
//! |- HeapAccess                  this thread's heap, or the reason to go to libc (`foreign`)
//! |- pending::with_heap          deferred frees, an offer of idle return: one test if there is none
//! |- Mode::serve                 the default: `serve`
//! |  |- sampled                  requests are counted: to sample one, or to look at the clock
//! |  |- Heap::alloc              pops the bin, or `refill`s it:
//! |  |  |- receive               blocks that other threads freed: the inbox
//! |  |  |- fetch_own             blocks of the heap's own partial spans
//! |  |  |- fetch_cached          a batch of the transfer cache
//! |  |  '- obtain_span           a span of the central list, else a new one: pages of a run, made usable
//! |  '- Central::alloc_large     no class: a run of pages of its own, or a mapping
//! |- pending::without_heap       what features and limits want told: one test if there is nothing
//! '- exhaustion                  only where memory is used up
//!
//! free
//! |- HeapAccess, pending as above
//! '- Mode::free                  the default: `Heap::free`: resolve the address, then to the bin, the owner's inbox, or the pages
//! ```
//! Must not know the features: they register ([`crate::process::feature`]), and so does the mode in force.

pub(crate) mod alloc;
pub(crate) mod exhaustion;
pub(crate) mod foreign;
pub(crate) mod free;
pub(crate) mod inspect;
pub(crate) mod mode;
mod pending;
pub(crate) mod realloc;
pub(crate) mod request;
pub(crate) mod sampled;
pub(crate) mod table;
