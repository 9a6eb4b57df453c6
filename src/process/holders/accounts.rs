//! Accounts: records of the table that no program made. Each has the bill of all heaps of threads of one name, or of one
//! control group, or an estimate for one object. Must not know where the names come from.

use core::ptr::null_mut;

use super::table::{Holder, NAME_BYTES, Places, Wanted, holder_of, make, places, put_free, records, remove};
use crate::base::text::{Inline, Line};
use crate::central::Bill;
use crate::diag::{self, Code};
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::sys::atomic::Ordering;

/// The kinds of holders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A heap that the program made.
    Heap = 0,
    /// The threads of one name.
    ThreadName = 1,
    /// The threads of one control group.
    CgroupThread = 2,
    /// The code of one object; figures are estimates.
    Object = 3,
}

/// The kinds as statistics name them, by their numbers.
static NAMES: [Inline<13>; 4] =
    [Inline::of("heap"), Inline::of("thread-name"), Inline::of("cgroup-thread"), Inline::of("object")];

impl Kind {
    /// The kind with that number.
    pub(crate) const fn of(number: u8) -> Self {
        match number {
            1 => Self::ThreadName,
            2 => Self::CgroupThread,
            3 => Self::Object,
            _ => Self::Heap,
        }
    }

    /// The name of the kind: `heap`, `thread-name`, `cgroup-thread` or `object`.
    pub(crate) fn name(self) -> &'static str {
        NAMES.get(self as usize).map_or("", Inline::text)
    }

    /// The word for a holder of the kind: `heap`, `account` or `object`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::ThreadName | Self::CgroupThread => "account",
            Self::Object => "object",
        }
    }

    /// Whether it is a heap that the program made.
    pub(crate) const fn is_heap(self) -> bool {
        matches!(self, Self::Heap)
    }

    /// Whether it is an account on whose bill the heaps of threads are.
    pub(super) const fn is_of_threads(self) -> bool {
        matches!(self, Self::ThreadName | Self::CgroupThread)
    }

    /// Whether the figures are estimates, which are part of no sum.
    pub(crate) const fn is_estimate(self) -> bool {
        matches!(self, Self::Object)
    }
}

/// Accounts are looked through for some without use when there are this many, then when there are twice as many as are
/// in use.
const FIRST_SWEEP: usize = 1024;

/// Calls `take` with the bill of the account of that kind and name, where it is about to be used. A new account gets the
/// limits that `limits` returns. False without memory or a place for one.
pub(crate) fn on_account(
    kind: Kind,
    name: &[u8],
    limits: impl FnOnce() -> (usize, usize),
    take: impl FnOnce(&'static Bill),
) -> bool {
    super::usage::begin();
    // The lock is held until the bill is in use: an account without use may end.
    let mut places = places().lock();
    let found = records().find(|holder| holder.kind() == kind && holder.is_live() && holder.has_name(name));
    let Some(holder) = found.or_else(|| open(&mut places, kind, name, limits())) else { return false };
    take(&holder.bill);
    true
}

/// Whether `bill` is that of the account of that kind and name.
pub(crate) fn is_account(bill: &'static Bill, kind: Kind, name: &[u8]) -> bool {
    let holder = holder_of(bill);
    holder.kind() == kind && holder.has_name(name)
}

/// The handle of the holder of `bill`; 0 if it is gone.
pub(crate) fn handle_of_bill(bill: &'static Bill) -> usize {
    holder_of(bill).handle()
}

fn open(places: &mut Places, kind: Kind, name: &[u8], limits: (usize, usize)) -> Option<&'static Holder> {
    if places.accounts >= places.next_sweep.max(FIRST_SWEEP) {
        sweep(places);
    }
    let wanted = Wanted { name, limits, callback: None, context: null_mut(), shared: false };
    let handle = make(places, &wanted, kind)?;
    places.accounts += 1;
    super::table::find(handle)
}

/// Ends all accounts for which nothing is held and which no thread has.
fn sweep(places: &mut Places) {
    let unused = |holder: &&Holder| {
        holder.kind().is_of_threads() && holder.is_live() && holder.bill.held() == 0 && holder.bill.heaps() == 0
    };
    for holder in records().filter(unused) {
        let handle = holder.handle();
        if remove(holder, handle) {
            put_free(places, holder, handle);
            places.accounts -= 1;
        }
    }
    places.next_sweep = 2 * places.accounts;
}

/// The heaps of threads that have `bill`.
pub(super) fn heaps_with(bill: &Bill) -> impl Iterator<Item = &'static Heap> {
    let mut last = None;
    let all = core::iter::from_fn(move || {
        last = PROCESS.registry.after(last);
        last
    });
    all.filter(move |heap| !heap.is_part() && heap.bill().is_some_and(|other| core::ptr::eq(other, bill)))
}

impl Holder {
    /// Whether it has that name, or what of it a name has room for.
    fn has_name(&self, name: &[u8]) -> bool {
        let (own, name) = (self.name(), name.get(..NAME_BYTES - 1).unwrap_or(name));
        own.starts_with(name) && own.get(name.len()) == Some(&0)
    }

    /// Says, once for each account, that it holds more than its soft limit of `bytes`: no function of the program hears of it.
    #[cold]
    pub(super) fn passed_soft(&self, bytes: usize) {
        // Relaxed: the line is printed by whichever thread finds false.
        if !self.told_line.swap(true, Ordering::Relaxed) {
            let mut line = Line::new();
            self.quote(line.text("account "));
            line.text(" holds ").number(self.bill.held() as u64).text(" bytes, more than its soft limit of ");
            diag::line(Code::HeapLimit, &[line.number(bytes as u64).bytes()]);
        }
    }
}
