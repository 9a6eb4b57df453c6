//! A region is in one place: with the caller, or in one run of the cache.

use super::*;
use proptest::prelude::*;

fn opened() -> RunCache {
    let cache = RunCache::new();
    cache.open();
    cache
}

fn run(region: u32, count: u32) -> Run {
    Run { region: Region(region), count, dirty: true }
}

/// Puts a run; what the cache spilled for it.
fn put(cache: &RunCache, run: Run) -> Vec<Run> {
    let mut spilled = Vec::new();
    cache.put(0, run, 0, |run| spilled.push(run));
    spilled
}

fn take(cache: &RunCache, count: u32) -> Option<Run> {
    cache.take(0, count, || 0)
}

fn drained(cache: &RunCache) -> Vec<Run> {
    let mut all = Vec::new();
    cache.drain(|run| all.push(run));
    all
}

#[test]
fn a_run_is_cut_and_whole_again() {
    let cache = opened();
    assert!(put(&cache, run(10, 8)).is_empty());
    let (front, next) = (take(&cache, 3), take(&cache, 4));
    assert_eq!((front, next, take(&cache, 2)), (Some(run(10, 3)), Some(run(13, 4)), None));
    assert_eq!(cache.regions(), 1);
    assert!(put(&cache, run(10, 3)).is_empty() && put(&cache, run(13, 4)).is_empty());
    assert_eq!(drained(&cache), [run(10, 8)]);
}

#[test]
fn the_best_fit_goes_first() {
    let cache = opened();
    for run in [run(10, 9), run(30, 4), run(50, 6)] {
        assert!(put(&cache, run).is_empty());
    }
    assert_eq!(take(&cache, 5), Some(run(50, 5)));
    assert_eq!(cache.take_at(Region(10)), Some(run(10, 9)));
    assert_eq!(cache.take_at(Region(11)), None);
}

#[test]
fn a_run_goes_when_it_was_not_used_for_the_delay() {
    const DELAY: u32 = 500;
    // Also where the times of words begin anew.
    for start in [1000, (TIME_MASK + 1) * TIME_UNIT - 600] {
        let cache = opened();
        let put = |run, now| cache.put(0, run, now, |_| unreachable!("there is room"));
        let sweep = |now| {
            let mut gone = Vec::new();
            cache.sweep(now, DELAY, |run| gone.push(run));
            gone
        };
        put(run(10, 8), start);
        put(run(30, 4), start + 200);
        assert!(sweep(start + 300).is_empty() && sweep(start + 499).is_empty());
        put(run(34, 2), start + 500);
        assert_eq!(cache.take(0, 3, || start + 500), Some(run(30, 3)), "the rest is in use");
        assert!(sweep(start + 510).is_empty(), "the last sweep was a moment ago");
        assert_eq!(sweep(start + 700), [run(10, 8)]);
        put(run(30, 3), start + 900);
        assert_eq!(sweep(start + 1000), [run(30, 6)], "what joins a larger run is as old");
        assert_eq!(cache.regions(), 0);
    }
}

#[test]
fn a_run_joins_both_neighbours_and_no_run_of_another_shard() {
    let cache = opened();
    let spilled = |_: Run| unreachable!("there is room");
    cache.put(3, run(10, 4), 0, spilled);
    cache.put(3, run(20, 4), 0, spilled);
    cache.put(4, run(24, 4), 0, spilled);
    assert_eq!(cache.take(4, 5, || 0), None);
    cache.put(3, run(14, 6), 0, spilled);
    assert_eq!((cache.take(3, 15, || 0), cache.take(3, 14, || 0)), (None, Some(run(10, 14))));
    assert_eq!(cache.take(4 + SHARDS, 4, || 0), Some(run(24, 4)), "places repeat");
}

#[test]
fn a_cache_that_is_not_open_has_nothing() {
    let cache = RunCache::new();
    assert_eq!((take(&cache, 2), cache.take_at(Region(0)), cache.regions()), (None, None, 0));
    assert!(!cache.wants_sweep(u32::MAX / 2, 1));
}

proptest! {
    #[test]
    fn regions_are_in_one_place_each(steps in prop::collection::vec((0_u8..8, 1_u32..80, 1_u32..600), 1..400)) {
        const END: usize = 1024;
        let cache = opened();
        // Whether a region is with the caller; others are in the cache.
        let mut ours = vec![true; END];
        let give = |ours: &mut Vec<bool>, run: Run, value: bool| {
            for region in run.region.0..run.region.0 + run.count {
                assert_ne!(std::mem::replace(&mut ours[region as usize], value), value, "region {region}");
            }
        };
        for (now, (step, count, at)) in (0_u32..).zip(steps) {
            let free = |ours: &[bool]| {
                ours[at as usize..].iter().take(count as usize).take_while(|&&ours| ours).count() as u32
            };
            match step {
                0..=2 if free(&ours) > 0 => {
                    let run = run(at, free(&ours));
                    give(&mut ours, run, false);
                    cache.put(0, run, now, |run| give(&mut ours, run, true));
                }
                3 => if let Some(run) = cache.take_at(Region(at)) { give(&mut ours, run, true) },
                4 => cache.sweep(now, 10, |run| give(&mut ours, run, true)),
                5 if count < 4 => cache.drain(|run| give(&mut ours, run, true)),
                _ => if let Some(run) = cache.take(0, count, || now) {
                    prop_assert_eq!(run.count, count);
                    give(&mut ours, run, true);
                }
            }
            let cached = ours.iter().filter(|&&ours| !ours).count() as u32;
            prop_assert_eq!(cache.regions(), cached);
            prop_assert!(cached <= SHARD_REGIONS);
        }
    }
}

#[test]
fn threads_never_have_the_same_region() {
    const RUNS: u32 = 64;
    let (cache, held) = (opened(), (0..RUNS * 4).map(|_| AtomicU32::new(0)).collect::<Vec<_>>());
    let mark = |run: Run, by: u32| {
        for region in run.region.0..run.region.0 + run.count {
            assert_eq!(held[region as usize].swap(by, Ordering::Relaxed) == 0, by != 0);
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cache, mark) = (&cache, &mark);
            scope.spawn(move || {
                let mut own: Vec<Run> = (0..RUNS / 4).map(|index| run((thread + index * 4) * 4, 4)).collect();
                own.iter().for_each(|&run| mark(run, 1));
                for step in 0..20_000 {
                    if let Some(run) = cache.take(0, 1 + step % 5, || step) {
                        mark(run, 1);
                        own.push(run);
                    } else if let Some(run) = own.pop() {
                        mark(run, 0);
                        cache.put(0, run, step, |run| {
                            mark(run, 1);
                            own.push(run);
                        });
                    }
                }
            });
        }
    });
}
