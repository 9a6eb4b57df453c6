//! The arguments and results of slow calls.

/// The alignment of all blocks that have at least so many bytes.
pub(crate) const NATURAL_ALIGN: usize = 16;

/// A request for a block.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Bytes.
    pub(crate) size: usize,
    /// The alignment, a power of two; 1 for the one that malloc promises.
    pub(crate) align: usize,
    /// Whether the bytes must read as zero.
    pub(crate) zero: bool,
}

/// The result of a realloc.
pub(crate) enum Resized {
    /// The block, where it is now.
    At(*mut u8),
    /// There is no memory; the old block is unchanged.
    OutOfMemory,
    /// The pointer was no live block, and was reported.
    Misused,
}

/// A large or direct block that was resized without copying.
pub(crate) struct Moved {
    /// Where it is now.
    pub(crate) address: usize,
    /// Whether it is a mapping of its own.
    pub(crate) direct: bool,
    /// The number of its sample in the heap profile; 0 if it was not sampled.
    pub(crate) ticket: u32,
    /// Its bytes before.
    pub(crate) old: usize,
    /// Its bytes now, as requested.
    pub(crate) size: usize,
}

/// The size and alignment that a sized free names.
#[derive(Clone, Copy)]
pub(crate) struct FreeSize {
    /// The bytes that were requested from malloc.
    pub(crate) size: usize,
    /// The alignment that was requested from an aligned call; 1 if none was.
    pub(crate) align: usize,
}
