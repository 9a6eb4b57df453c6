//! How much of another process is read and believed at most. A process can write into its memory what it likes: none of
//! its words may make this command allocate, loop or wait without end.

use std::time::Duration;

/// Regions that were ever used: 256 GiB of address space.
pub(super) const REGIONS_MAX: usize = 1 << 23;
/// Regions there may be at all, by the largest reservation.
pub(super) const REGIONS_RESERVED_MAX: usize = 1 << 29;
/// Heaps, read as a whole.
pub(super) const HEAPS_MAX: usize = 1 << 15;
/// Holders of bills.
pub(super) const HOLDERS_MAX: usize = 1 << 16;
/// Batches of all chains together.
pub(super) const BATCHES_MAX: usize = 1 << 16;
/// Blocks in a bin.
pub(super) const SLOTS_MAX: usize = 1 << 27;
/// Slots of a bin that are searched for one block.
pub(super) const SLOTS_SEARCHED_MAX: usize = 1 << 16;
/// Bytes of anything in an address space, and counts of anything: what is above is no figure.
pub(super) const FIGURE_MAX: usize = 1 << 47;
/// Bytes of a name.
pub(super) const NAME_MAX: usize = 64;
/// Bytes of one read.
pub(super) const READ_MAX: usize = 16 << 20;
/// Bytes of a file that may be an object.
pub(super) const FILE_MAX: u64 = 512 << 20;
/// How long a process that was named may take to be read, and one among all that there are. Memory behind a file system
/// of the process's own comes when it likes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// See [`PATIENCE`].
pub(super) const PATIENCE_IN_LIST: Duration = Duration::from_secs(5);
/// Words of the run cache.
pub(super) const CACHED_MAX: usize = 1 << 12;
/// Stacks of a heap profile, and frames of each.
pub(super) const STACKS_MAX: usize = 1 << 16;
/// See [`STACKS_MAX`].
pub(super) const FRAMES_MAX: usize = 1 << 7;
/// Bytes of the record of a stack.
pub(super) const RECORD_MAX: usize = 1 << 10;
/// Mappings of code.
pub(super) const CODE_MAX: usize = 1 << 14;
/// Processes of a fleet that are read at all, and how many at once.
pub(super) const PROCESSES_MAX: usize = 1 << 10;
/// See [`PROCESSES_MAX`].
pub(super) const AT_ONCE: usize = 4;
/// Readings of a fleet that are overdue, each on a thread of its own: of all processes, and of those of one user.
pub(super) const OVERDUE_MAX: usize = 1 << 7;
/// See [`OVERDUE_MAX`].
pub(super) const OVERDUE_OF_USER_MAX: usize = 1 << 3;
/// How long a process of a fleet may keep others from being read.
pub(super) const TURN: Duration = Duration::from_secs(1);
