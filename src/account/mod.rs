//! Accounts for programs that make no heaps (`SPANDREL_ACCOUNT`): the heap of each thread is on the bill of the
//! thread's name, or of its control group.
//!
//! A thread mostly gets its name after its first malloc, and may get another one, or another group, at any time. So its
//! slow events ask the kernel again, the first ones and then one in so many, and the spans that it holds move to the
//! bill of the new name. Before statistics the names of all threads are read, since a thread that sleeps has no slow
//! events. Bills by object are the heap profile's ([`crate::profile`]).

mod limits;
mod name;

use self::name::Name;
use crate::config::{Account, Options};
use crate::heap::Heap;
use crate::process::feature::Feature;
use crate::process::holders::{Kind, is_account, on_account};
use crate::process::state::PROCESS;

pub(crate) use limits::prepare;

/// Slow events between two questions: for a name, which costs one short system call, and for a group, which costs three
/// longer ones.
const BETWEEN_NAMES: u32 = 16;
const BETWEEN_GROUPS: u32 = 256;
/// The name of threads whose name the kernel does not say.
const UNKNOWN: &[u8] = b"(unknown)";

static FEATURE: Feature = Feature {
    thread_begins: Some(begin),
    name_may_differ: Some(ask),
    names_matter: Some(ask_for_all),
    ..Feature::NONE
};

/// Registers what `options` ask for. Part of the start.
pub(crate) fn register(options: &Options) {
    if matches!(options.account, Account::ThreadName | Account::CgroupThread) {
        PROCESS.features.register(&FEATURE);
    }
}

fn account() -> Account {
    PROCESS.options().account
}

/// Has the heap of a new thread have a bill.
fn begin(heap: &Heap) {
    if heap.is_part() {
        return;
    }
    heap.lock_spans();
    bill(heap, Name::of_caller(account()));
    heap.unlock_spans();
    heap.ask_for_name(if account() == Account::CgroupThread { BETWEEN_GROUPS } else { BETWEEN_NAMES });
}

/// Has the heap of the calling thread, which holds it, be on the bill of the name that the thread has now.
fn ask(heap: &Heap) {
    if !heap.is_part() {
        bill(heap, Name::of_caller(account()));
    }
}

/// Has all heaps of threads be on the bills of the names that these have now, but for those which their threads hold.
fn ask_for_all() {
    let mut last = None;
    while let Some(heap) = PROCESS.registry.after(last) {
        last = Some(heap);
        if heap.bill().is_some() && !heap.is_part() {
            heap.with_spans(|| {
                let name = Name::of_thread(account(), heap.thread.id.get());
                if heap.bill().is_some() && !heap.is_part() && name.is_some() {
                    bill(heap, name);
                }
            });
        }
    }
}

/// Has a heap be on the bill of `name`. The caller holds its spans. Without memory for another bill it stays on that
/// which it has.
fn bill(heap: &Heap, name: Option<Name>) {
    let name = name.as_ref().map_or(UNKNOWN, Name::bytes);
    let kind = if account() == Account::CgroupThread { Kind::CgroupThread } else { Kind::ThreadName };
    if heap.bill().is_none_or(|bill| !is_account(bill, kind, name)) {
        on_account(kind, name, || limits::of(name), |bill| heap.bill_to(bill, &PROCESS.central));
    }
}
