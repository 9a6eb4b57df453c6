//! What calls of the slow path ask for, and what became of them.

/// What a block of malloc's is aligned to in any case, if it is as large as that.
pub(super) const NATURAL_ALIGN: usize = 16;

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Bytes.
    pub(crate) size: usize,
    /// A power of two; 1 for malloc's own alignment.
    pub(crate) align: usize,
    /// Whether the bytes must read as zero.
    pub(crate) zero: bool,
}

/// What became of a realloc.
pub(crate) enum Resized {
    /// The block, where it is now.
    At(*mut u8),
    /// There is no memory; the old block is as it was.
    OutOfMemory,
    /// The pointer was no block; reported.
    Misused,
}

/// A large or direct block that was resized without copying.
pub(crate) struct Moved {
    /// Where it is now.
    pub(crate) address: usize,
    /// Whether it is a mapping of its own.
    pub(crate) direct: bool,
    /// What it is known by, if it was sampled; else 0.
    pub(crate) ticket: u32,
    /// Its bytes before.
    pub(crate) old: usize,
    /// Its bytes as asked for now.
    pub(crate) size: usize,
}

/// The size a sized free names.
#[derive(Clone, Copy)]
pub(crate) struct FreeSize {
    /// As given to malloc.
    pub(crate) size: usize,
    /// As given to an aligned call; 1 if none was.
    pub(crate) align: usize,
}
