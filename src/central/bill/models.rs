//! Models of a bill: two threads at one limit, in every interleaving.

use super::*;
use loom::sync::Arc;
use loom::thread;

struct Shared {
    bill: Bill,
    pending: Pending,
}

impl Bill {
    /// A bill with these limits, of which every atomic is there before a second thread is.
    pub(crate) fn of_model(soft: usize, hard: usize) -> Self {
        let number = || AtomicUsize::new(0);
        let bill = Self {
            held: number(),
            large: number(),
            apart: Apart([number(), number()]),
            peak: number(),
            soft: Relaxed::<AtomicUsize>::new(UNLIMITED),
            hard: Relaxed::<AtomicUsize>::new(UNLIMITED),
            refusals: number(),
            denials: number(),
            over: AtomicBool::new(false),
            met: AtomicBool::new(false),
            place: Relaxed::<AtomicU32>::new(0),
            heaps: number(),
            first: Cell::new(0),
        };
        bill.open(soft, hard);
        assert_eq!(bill.denials(), 0);
        bill
    }
}

fn shared(soft: usize, hard: usize) -> Arc<Shared> {
    let shared = Shared { bill: Bill::of_model(soft, hard), pending: Pending::new() };
    assert!(!shared.pending.any());
    Arc::new(shared)
}

/// Does `work` in two threads at a time.
fn twice(shared: &Arc<Shared>, work: fn(&Shared) -> bool) -> [bool; 2] {
    let other = {
        let shared = shared.clone();
        thread::spawn(move || work(&shared))
    };
    let own = work(shared);
    [own, other.join().expect("no panic")]
}

/// A request of two bytes; whether it was served. One that is not knows that the limit was the reason.
fn take_two(shared: &Shared) -> bool {
    let before = shared.bill.denials();
    let admitted = shared.bill.admit(2, &shared.pending);
    assert!(shared.bill.held() <= shared.bill.limits().1, "more is held than the limit");
    assert!(admitted || shared.bill.denials() != before, "a request that the limit refused does not know it");
    admitted
}

fn take_two_and_free(shared: &Shared) -> bool {
    let admitted = take_two(shared);
    if admitted {
        shared.bill.give_back(2);
    }
    admitted
}

#[test]
fn loom_one_of_two_threads_gets_the_last_bytes() {
    loom::model(|| {
        let shared = shared(UNLIMITED, 3);
        let served = twice(&shared, take_two);
        assert_eq!(served.iter().filter(|&&served| served).count(), 1, "there is room for one");
        assert_eq!((shared.bill.held(), shared.bill.peak(), shared.bill.denials()), (2, 2, 1));
    });
}

#[test]
fn loom_two_threads_get_all_that_the_limit_leaves() {
    loom::model(|| {
        let shared = shared(UNLIMITED, 4);
        assert_eq!(twice(&shared, take_two), [true, true], "there is room for both");
        assert_eq!((shared.bill.held(), shared.bill.peak(), shared.bill.denials()), (4, 4, 0));
    });
}

#[test]
fn loom_what_two_threads_freed_serves_both() {
    loom::model(|| {
        let shared = shared(UNLIMITED, 3);
        let served = twice(&shared, take_two_and_free);
        assert!(served.contains(&true), "a thread is refused only while the other one holds bytes");
        assert_eq!((shared.bill.held(), shared.bill.peak()), (0, 2));
        assert!(take_two_and_free(&shared) && take_two_and_free(&shared), "all bytes are free");
    });
}

#[test]
fn loom_two_threads_meet_the_soft_limit_once() {
    loom::model(|| {
        let shared = shared(3, UNLIMITED);
        assert_eq!(twice(&shared, take_two), [true, true]);
        assert!(shared.pending.take(Work::BILL_LIMIT), "no slow call would report the limit");
        assert!(shared.bill.take_met_soft() && !shared.bill.take_met_soft());
    });
}

#[test]
fn loom_a_limit_that_is_lowered_holds() {
    loom::model(|| {
        let shared = shared(UNLIMITED, 4);
        let lowers = {
            let shared = shared.clone();
            thread::spawn(move || shared.bill.set_limits(UNLIMITED, 2))
        };
        assert!(shared.bill.admit(2, &shared.pending), "both limits leave room");
        let more = shared.bill.admit(2, &shared.pending);
        lowers.join().expect("no panic");
        assert_eq!(shared.bill.held(), if more { 4 } else { 2 });
        assert!(!shared.bill.admit(1, &shared.pending), "the new limit is in force");
    });
}
