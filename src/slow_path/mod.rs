//! The slow path: every call that the fast path does not serve, in every state of process and thread.
//!
//! The calls of a slow malloc and a slow free, with the files in which they are. Paths start at `src/`; names without a
//! folder are files of this one.
//!
//! ```text
//! api/c.rs: malloc, free               the fast path of heap/fast_path.rs fails
//! '- control/dispatch.rs               by the mode in force; the first call starts the process
//!    |- alloc.rs                       this file for mode M, as follows
//!    |  |- process/thread.rs: access   this thread's heap, or a reason for libc: then foreign.rs
//!    |  |- pending.rs: with_heap       deferred frees, an offer of idle return; one test if there is nothing to do
//!    |  |- mode.rs: M::serve           the default mode: serve
//!    |  |  |- sampled.rs               only if the heap counts requested bytes: for a sample, or for idle return
//!    |  |  |- heap/refill.rs: alloc    pops the bin; if it is empty, refill
//!    |  |  |  |- heap/remote/receive.rs: receive_blocks    blocks that other threads freed, from the inbox
//!    |  |  |  |- fetch_own             blocks of the heap's own partial spans: central/span.rs
//!    |  |  |  |- fetch_cached          a batch of the transfer cache: central/central_list.rs
//!    |  |  |  '- obtain_span           a span of the central list, else a new one: central/spans.rs, pages/store.rs
//!    |  |  '- central/large.rs: alloc_large               no class: a run of regions, or a mapping (central/direct.rs)
//!    |  |- inspect.rs                  only where options ask for it: counts or fills the block
//!    |  |- pending.rs: without_heap    reports of limits, work of features; one test if there is nothing to do
//!    |  '- exhaustion.rs               only if there is no memory
//!    '- free.rs                        access and pending as above; then
//!       '- mode.rs: M::free            the default mode: free_on
//!          '- heap/returns.rs: free    receives a batch, then central/resolve.rs says what the address is
//!             |- own and small         to its bin; if that is full, half of it to the spans
//!             |- another heap's        heap/remote/send.rs: to the outbox
//!             |- large or direct       heap/returns.rs: free_unowned
//!             '- foreign               foreign.rs: to libc, or a report
//! ```
//!
//! realloc, usable size and sized free are in `realloc.rs`. Must not know the features: they register
//! ([`crate::process::feature`]), and so does the mode in force (`table.rs`).

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
