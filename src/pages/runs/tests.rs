//! Runs are in one place each; their age by a clock that turns over.

use super::*;
use crate::base::units::MIB;
use proptest::prelude::*;

/// Checks every region of `runs`: whether it is taken, free and dirty, free and clean, or never used.
fn check(runs: &Runs, space: &Space, taken: &[bool]) {
    let (mut dirty, mut clean) = (0, 0);
    for bank in space.banks() {
        let mut at = space.first_region(bank).0 + 1;
        let mut last = None;
        while at < runs.border(space, bank).0 {
            if taken[at as usize] {
                last = None;
                at += 1;
                continue;
            }
            let node = space.node(at);
            let len = node.len.get();
            assert!(len > 0, "region {at} is in no run");
            assert_ne!(last, Some(node.dirty.get()), "neighbours at {at} should have merged");
            last = Some(node.dirty.get());
            *(if node.dirty.get() { &mut dirty } else { &mut clean }) += len;
            assert!((at..at + len).all(|region| !taken[region as usize]));
            assert_eq!(space.node(at + len - 1).back.get(), at);
            at += len;
        }
    }
    assert_eq!((dirty, clean), (runs.dirty_regions(), runs.clean_regions()));
    let held = taken.iter().filter(|&&taken| taken).count() as u32;
    assert_eq!(runs.touched(), dirty + clean + held);
}

const LONG: u32 = 1 << 30;
/// Regions of a run, and runs, of the tests of what waits.
const COUNT: u32 = REUSED_MIN / 8;
const RUNS: u32 = 24;

/// Takes all runs, and gives back those with a number that is no multiple of `kept`.
fn grow_and_shrink(runs: &mut Runs, space: &Space, kept: usize) -> Vec<Run> {
    let taken: Vec<Run> =
        (0..RUNS).map(|_| runs.acquire(space, Bank::FIRST, COUNT, REGION_BYTES).expect("room")).collect();
    let (kept, freed): (Vec<_>, Vec<_>) = taken.into_iter().enumerate().partition(|(index, _)| index % kept == 0);
    for (index, run) in freed {
        runs.release(space, Run { dirty: true, ..run }, index as u32);
    }
    kept.into_iter().map(|(_, run)| run).collect()
}

/// Purges what is due at once, and returns how much is dirty then.
fn dirty_after_purge(runs: &mut Runs, space: &Space, delay: u32) -> u32 {
    while let Some(run) = runs.expire(space, 100, delay, 0) {
        runs.release(space, Run { dirty: false, ..run }, 100);
    }
    runs.dirty_regions()
}

#[test]
fn much_that_is_free_does_not_wait() {
    let space = Space::reserve(256 * MIB, 4096).expect("256 MiB");
    let mut runs = Runs::new();
    grow_and_shrink(&mut runs, &space, 6);
    assert_eq!(runs.dirty_regions(), 20 * COUNT, "all but four of 24");
    assert!(dirty_after_purge(&mut runs, &space, LONG) <= DIRTY_MIN, "the process may need none of it again");
}

#[test]
fn a_quarter_of_what_is_in_use_may_wait() {
    let space = Space::reserve(256 * MIB, 4096).expect("256 MiB");
    let mut runs = Runs::new();
    let used = grow_and_shrink(&mut runs, &space, 3);
    assert_eq!((used.len(), runs.reused), (8, 0));
    assert!(dirty_after_purge(&mut runs, &space, LONG) <= DIRTY_MIN, "a quarter of 32 MiB is 8");
    let more = runs.acquire(&space, Bank::FIRST, 20 * COUNT, REGION_BYTES).expect("room");
    runs.reused = 0;
    grow_and_shrink(&mut runs, &space, RUNS as usize);
    runs.reused = 0;
    let dirty = dirty_after_purge(&mut runs, &space, LONG);
    assert!(
        dirty > DIRTY_MIN && dirty <= runs.taken() / DIRTY_PART,
        "{dirty} of {}, with {}",
        runs.taken(),
        more.count
    );
}

#[test]
fn of_too_much_the_longest_goes_first_and_by_time_the_oldest() {
    let space = Space::reserve(256 * MIB, 4096).expect("256 MiB");
    let mut runs = Runs::new();
    let lens = [3, DIRTY_MIN, 9, 2 * DIRTY_MIN, 5];
    let taken = lens.map(|len| {
        let run = runs.acquire(&space, Bank::FIRST, len, REGION_BYTES).expect("room");
        // Keeps the next one from merging with it.
        let _between = runs.acquire(&space, Bank::FIRST, 1, REGION_BYTES).expect("room");
        run
    });
    for (now, run) in (0..).zip(taken) {
        runs.release(&space, Run { dirty: true, ..run }, now);
    }
    runs.reused = 0;
    let mut next = |now| runs.expire(&space, now, 10, 0).map(|run| run.count);
    assert_eq!([next(5), next(5), next(5)], [Some(lens[3]), Some(lens[1]), None]);
    assert_eq!([next(12), next(12), next(12)], [Some(lens[0]), Some(lens[2]), None]);
}

#[test]
fn as_much_waits_as_is_in_use_where_it_is_used_again() {
    let space = Space::reserve(256 * MIB, 4096).expect("256 MiB");
    let mut runs = Runs::new();
    for run in grow_and_shrink(&mut runs, &space, RUNS as usize) {
        runs.release(&space, Run { dirty: true, ..run }, 0);
    }
    grow_and_shrink(&mut runs, &space, 6);
    assert_eq!(dirty_after_purge(&mut runs, &space, LONG), 10 * COUNT, "as much as twelve runs; two groups of five");
}

#[test]
fn a_process_that_takes_fresh_memory_for_what_it_frees_does_not_shrink() {
    let space = Space::reserve(256 * MIB, 4096).expect("256 MiB");
    let mut runs = Runs::new();
    grow_and_shrink(&mut runs, &space, RUNS as usize);
    assert_eq!(runs.reused, 0);
    let larger = runs.acquire(&space, Bank::FIRST, runs.dirty_regions() + 1, REGION_BYTES).expect("room");
    assert!(!larger.dirty && dirty_after_purge(&mut runs, &space, LONG) > DIRTY_MIN + REUSED_MIN);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn regions_are_in_one_place_each(
        banks in 1_u32..4,
        steps in prop::collection::vec((0_u8..4, 1_u32..40, 0_u32..6), 1..200),
    ) {
        let space = if banks > 1 { Space::reserve_banks(banks, 64 * MIB) } else { Space::reserve(64 * MIB, 4096).expect("64 MiB") };
        let mut runs = Runs::new();
        let mut taken = vec![false; space.end_region(Bank(banks - 1)).0 as usize];
        let mut live: Vec<Run> = Vec::new();
        for (now, (step, count, choice)) in (0_u32..).zip(steps) {
            let align = REGION_BYTES << choice;
            let bank = Bank(now % banks);
            match step {
                0 | 1 => {
                    let Some(run) = runs.acquire(&space, bank, count, align) else { continue };
                    prop_assert_eq!(space.address(run.region) % align, 0);
                    for region in run.region.0..run.region.0 + count {
                        prop_assert!(!std::mem::replace(&mut taken[region as usize], true));
                    }
                    live.push(run);
                }
                2 if !live.is_empty() => {
                    let run = live.swap_remove(count as usize % live.len());
                    taken[run.region.0 as usize..(run.region.0 + run.count) as usize].fill(false);
                    runs.release(&space, Run { dirty: true, ..run }, now);
                }
                _ => if let Some(run) = runs.expire(&space, now, 10, 0) {
                    prop_assert!(run.dirty);
                    runs.release(&space, Run { dirty: false, ..run }, now);
                }
            }
            check(&runs, &space, &taken);
        }
    }
}

mod age {
    use super::*;

    const DAY: u64 = 86_400_000;
    const TURN: u64 = 1 << 32;
    const DELAY: u32 = 500;

    /// Whether a run that was freed at `freed` is due at `now`, both in milliseconds of a clock that never starts anew.
    fn is_due(freed: u64, now: u64) -> bool {
        waited(now as u32, freed as u32) >= DELAY
    }

    #[test]
    fn a_run_is_old_however_long_nobody_called() {
        for freed in [0, 7, 24 * DAY, TURN - 100, 49 * DAY] {
            assert!(!is_due(freed, freed + u64::from(DELAY) - 1));
            for days in [1, 20, 24, 25, 26, 30, 40, 49, 51, 75, 100] {
                assert!(is_due(freed, freed + days * DAY), "{days} days after {freed}");
            }
        }
    }

    #[test]
    fn a_run_that_was_stamped_after_the_clock_was_read_is_young() {
        assert!(!is_due(100, 90) && !is_due(TURN, TURN - 10));
    }

    #[test]
    fn a_turn_of_the_clock_puts_a_purge_off_and_does_not_prevent_it() {
        assert!(!is_due(1000, 1000 + TURN) && is_due(1000, 1000 + TURN + u64::from(DELAY)));
        assert!(!is_due(1000, 1000 + TURN - 1) && is_due(1000, 1000 + TURN - 1 - u64::from(AHEAD)));
    }
}
