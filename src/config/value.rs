//! The values that options take beyond flags and numbers, the forms they are written in, and how they are read.

use super::parse;

/// The consequence of a misuse; the runtime turns it into its own policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnError {
    /// Print and abort.
    Abort,
    /// Print and go on.
    Report,
    /// Go on.
    Ignore,
}

/// The spans from which a fetch takes blocks in an order that cannot be foreseen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SpreadSpans {
    None = 0,
    /// Those of a heap that has no full span of the class.
    First,
    All,
}

/// The end of its page at which a guarded block lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GuardedSide {
    /// Either, at random.
    Both,
    Left,
    Right,
}

/// How calls are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ModeName {
    /// Spandrel, at full speed.
    Fast,
    /// libc.
    Libc,
    /// Spandrel, counting what is outstanding.
    Counting,
    /// Spandrel, with a note of every live block.
    Tracked,
    /// Spandrel, with a check of everything that can be checked.
    Hardened,
    /// Spandrel, with some blocks between guard pages.
    Guarded,
    /// Functions of the program's or of a plugin.
    Custom,
}

/// How the kernel is asked for huge pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HugePages {
    /// Not at all.
    Off,
    /// By advice, once the heap is large.
    Madvise,
    /// By advice, from the start.
    Thp,
    /// Explicit ones of 2 MiB.
    Table,
    /// Explicit ones of 1 GiB.
    GiantTable,
}

/// How pages are made present before the program touches them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Prefault {
    /// Not at all.
    Off = 0,
    /// By writing to each.
    Touch = 1,
    /// By one system call.
    Populate = 2,
}

/// How much a transfer cache may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CacheBytes {
    /// So much for each processor that the process may use.
    PerProcessor,
    /// So many bytes.
    Bytes(usize),
}

/// On which NUMA nodes pages are placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Numa {
    /// Wherever the process's own policy says.
    Off,
    /// On the node of the thread that touches them first.
    FirstTouch,
    /// On the node of the thread that they are for: memory is kept by node.
    Local,
    /// On all nodes in turn.
    Interleave,
    /// On this node.
    Bind(usize),
}

/// How memory that sleeping threads hold is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IdleReturn {
    /// Not at all.
    Off,
    /// By threads that call.
    Calls,
    /// By a thread of the allocator's as well.
    Thread,
}

/// How much memory there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    /// As much as there is.
    None,
    /// As much as the container allows.
    Container,
    /// So many bytes.
    Bytes(usize),
}

/// Most bytes of a path.
const PATH_MAX: usize = 255;

/// The path of a file that a report goes to, with places to fill in. A copy, because programs overwrite their
/// environment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    bytes: [u8; PATH_MAX],
    len: u8,
}

impl Path {
    /// As it was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl core::fmt::Debug for Path {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self.bytes(), out)
    }
}

pub(super) const FILE: &str = "a path of at most 255 bytes, with %p, %n or %% in it; or `none`";
pub(super) const SECONDS: &str = "seconds";
pub(super) const SIGNAL: &str =
    "HUP, USR1, USR2, PROF, WINCH, URG, a number from 1 to 64 that may be caught, or `none`";
pub(super) const LEVEL: &str = "0, 1 or 2";
pub(super) const FLAG: &str = "0 or 1";
pub(super) const SIZE: &str = "bytes, with K, M, G or T";
pub(super) const RANGE: &str = "LO-HI in bytes";
pub(super) const POLICY: &str = "abort, report or ignore";
pub(super) const DEEPBIND: &str = "clear or keep";
pub(super) const MODE: &str = "fast, libc, counting, tracked, hardened, guarded or custom";
pub(super) const COUNT: &str = "a number";
pub(super) const ONE_IN: &str = "a number, 1 or more";
pub(super) const SLOTS: &str = "a number from 1 to 4096";
pub(super) const FRAMES: &str = "a number from 1 to 64";
pub(super) const FRAMES_OR_NONE: &str = "a number from 0 to 64";
pub(super) const PATH: &str = "a path with a slash, or nothing";
pub(super) const HUGE_PAGES: &str = "off, madvise, thp, hugetlb or hugetlb-1g";
pub(super) const POOL: &str = "bytes, with K, M, G or T, 4M or more; or `none`";
pub(super) const PREFAULT: &str = "off, touch or populate";
pub(super) const LIMIT: &str = "bytes, with K, M, G or T, 1M or more; `container`, or `none`";
pub(super) const CACHE: &str = "bytes, with K, M, G or T; or `cpus`";
pub(super) const NUMA: &str = "off, first-touch, local, interleave or bind:NODE";
pub(super) const RATE: &str = "bytes, with K, M, G or T, 1K or more";
pub(super) const EVERY: &str = "bytes, with K, M, G or T, 1M or more; or `none`";
pub(super) const IDLE_RETURN: &str = "off, calls or thread";
pub(super) const DELAY: &str = "milliseconds, or `never`";

pub(super) const SIDE: &str = "left, right or both";

pub(super) fn guarded_side(value: &[u8]) -> Option<GuardedSide> {
    match value {
        b"left" => Some(GuardedSide::Left),
        b"right" => Some(GuardedSide::Right),
        b"both" => Some(GuardedSide::Both),
        _ => None,
    }
}

pub(super) const SPREAD: &str = "none, first or all";

pub(super) fn spread(value: &[u8]) -> Option<SpreadSpans> {
    let all = [(&b"none"[..], SpreadSpans::None), (b"first", SpreadSpans::First), (b"all", SpreadSpans::All)];
    all.into_iter().find(|&(name, _)| name == value).map(|(_, spans)| spans)
}

pub(super) fn on_error(value: &[u8]) -> Option<OnError> {
    match value {
        b"abort" => Some(OnError::Abort),
        b"report" => Some(OnError::Report),
        b"ignore" => Some(OnError::Ignore),
        _ => None,
    }
}

/// Whether it is kept.
pub(super) fn deepbind(value: &[u8]) -> Option<bool> {
    match value {
        b"clear" => Some(false),
        b"keep" => Some(true),
        _ => None,
    }
}

impl ModeName {
    /// The mode of that name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"fast" => Some(Self::Fast),
            b"libc" => Some(Self::Libc),
            b"counting" => Some(Self::Counting),
            b"tracked" => Some(Self::Tracked),
            b"hardened" => Some(Self::Hardened),
            b"guarded" => Some(Self::Guarded),
            b"custom" => Some(Self::Custom),
            _ => None,
        }
    }
}

pub(super) fn rate(value: &[u8]) -> Option<usize> {
    parse::size(value).filter(|&size| size >= 1 << 10)
}

/// `None` within `Some`: never.
pub(super) fn every(value: &[u8]) -> Option<Option<usize>> {
    match value {
        b"none" => Some(None),
        _ => parse::size(value).filter(|&size| size >= 1 << 20).map(Some),
    }
}
/// The frames that are kept of a call stack.
pub(super) fn frames(value: &[u8]) -> Option<usize> {
    parse::number(value).filter(|count| (1..=FRAMES_MAX).contains(count))
}

/// The frames that are kept or printed of a call stack, or none.
pub(super) fn frames_or_none(value: &[u8]) -> Option<usize> {
    parse::number(value).filter(|&count| count <= FRAMES_MAX)
}

/// One request in so many.
pub(super) fn one_in(value: &[u8]) -> Option<usize> {
    parse::number(value).filter(|&count| count >= 1)
}

/// Places for sampled blocks.
pub(super) fn slots(value: &[u8]) -> Option<usize> {
    parse::number(value).filter(|count| (1..=4096).contains(count))
}

/// Frames that may be kept of a call stack, or printed.
pub(crate) use crate::unwind::FRAMES_MAX;

/// Whether there is a path. It is read again where it is needed: options keep no text.
pub(super) fn path(value: &[u8]) -> Option<bool> {
    if value.is_empty() { Some(false) } else { value.contains(&b'/').then_some(true) }
}

pub(super) fn huge_pages(value: &[u8]) -> Option<HugePages> {
    match value {
        b"off" => Some(HugePages::Off),
        b"madvise" => Some(HugePages::Madvise),
        b"thp" => Some(HugePages::Thp),
        b"hugetlb" => Some(HugePages::Table),
        b"hugetlb-1g" => Some(HugePages::GiantTable),
        _ => None,
    }
}

pub(super) fn prefault(value: &[u8]) -> Option<Prefault> {
    match value {
        b"off" => Some(Prefault::Off),
        b"touch" => Some(Prefault::Touch),
        b"populate" => Some(Prefault::Populate),
        _ => None,
    }
}

pub(super) fn idle_return(value: &[u8]) -> Option<IdleReturn> {
    match value {
        b"off" => Some(IdleReturn::Off),
        b"calls" => Some(IdleReturn::Calls),
        b"thread" => Some(IdleReturn::Thread),
        _ => None,
    }
}

/// `None` within `Some`: never.
pub(super) fn delay(value: &[u8]) -> Option<Option<u64>> {
    if value == b"never" {
        return Some(None);
    }
    parse::number(value).map(|number| Some(number as u64))
}

pub(super) fn reserve(value: &[u8]) -> Option<usize> {
    parse::size(value).filter(|&size| (RESERVE_MIN..=RESERVE_MAX).contains(&size))
}

/// `None` within `Some`: no pool.
pub(super) fn pool(value: &[u8]) -> Option<Option<usize>> {
    if value == b"none" {
        return Some(None);
    }
    parse::size(value).filter(|&size| (POOL_MIN..=RESERVE_MAX).contains(&size)).map(Some)
}

pub(super) fn bin_bytes(value: &[u8]) -> Option<usize> {
    parse::size(value).filter(|&size| size >= 1)
}

const POOL_MIN: usize = 4 << 20;
const RESERVE_MIN: usize = 8 << 20;
const RESERVE_MAX: usize = 16 << 40;
const LIMIT_MIN: usize = 1 << 20;

pub(super) fn limit(value: &[u8]) -> Option<Limit> {
    match value {
        b"none" => Some(Limit::None),
        b"container" => Some(Limit::Container),
        _ => parse::size(value).filter(|&size| size >= LIMIT_MIN).map(Limit::Bytes),
    }
}

pub(super) fn cache_bytes(value: &[u8]) -> Option<CacheBytes> {
    match value {
        b"cpus" => Some(CacheBytes::PerProcessor),
        _ => parse::size(value).map(CacheBytes::Bytes),
    }
}

pub(super) fn numa(value: &[u8]) -> Option<Numa> {
    match value {
        b"off" => Some(Numa::Off),
        b"first-touch" => Some(Numa::FirstTouch),
        b"local" => Some(Numa::Local),
        b"interleave" => Some(Numa::Interleave),
        _ => value.strip_prefix(b"bind:").and_then(parse::number).map(Numa::Bind),
    }
}

/// `None` within `Some`: no file.
pub(super) fn file(value: &[u8]) -> Option<Option<Path>> {
    if value == b"none" {
        return Some(None);
    }
    let mut signs = value.iter();
    while let Some(sign) = signs.next() {
        if *sign == b'%' && !matches!(signs.next(), Some(b'p' | b'n' | b'%')) {
            return None;
        }
    }
    let mut path = Path { bytes: [0; PATH_MAX], len: u8::try_from(value.len()).ok().filter(|&len| len > 0)? };
    path.bytes.get_mut(..value.len())?.copy_from_slice(value);
    Some(Some(path))
}

/// Signals that the kernel raises for faults, or that cannot be caught.
const NOT_FOR_REPORTS: [i32; 8] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGABRT,
];
const SIGNALS: usize = 64;

/// `None` within `Some`: no signal.
pub(super) fn signal(value: &[u8]) -> Option<Option<i32>> {
    let signal = match value {
        b"none" => return Some(None),
        b"HUP" => libc::SIGHUP,
        b"USR1" => libc::SIGUSR1,
        b"USR2" => libc::SIGUSR2,
        b"PROF" => libc::SIGPROF,
        b"WINCH" => libc::SIGWINCH,
        b"URG" => libc::SIGURG,
        _ => parse::number(value).filter(|number| (1..=SIGNALS).contains(number))? as i32,
    };
    (!NOT_FOR_REPORTS.contains(&signal)).then_some(Some(signal))
}

pub(super) fn level(value: &[u8]) -> Option<usize> {
    parse::number(value).filter(|&level| level <= 2)
}
