//! The profile against a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::pages::Space;

const MEAN: usize = 64;

fn pages() -> Pages {
    let pages = Pages::new();
    #[expect(unsafe_code, reason = "opens the store")]
    // SAFETY: nobody else has the store yet.
    unsafe {
        pages.open(Space::reserve(64 << 20, 4096).expect("address space"), None);
    }
    pages
}

/// The name of a heap, and frames.
type Stack = (&'static str, Vec<usize>);

fn totals(profile: &Profile) -> BTreeMap<(String, Vec<usize>), stacks::Totals> {
    // Relaxed: one thread.
    let epoch = profile.peak_epoch.load(Ordering::Relaxed);
    let name = |entry: &Entry| entry.heap.map_or("".into(), |heap| String::from_utf8_lossy(heap.text()).into_owned());
    profile.entries().map(|entry| ((name(entry), entry.frames.to_vec()), entry.totals(epoch))).collect()
}

/// Some share their frames, others their heap.
fn stack_of(number: usize) -> Stack {
    (["", "one", "two"][number % 3], (0..=number / 2).map(|frame| 0x1000 + frame * 7).collect())
}

#[derive(Clone, Debug)]
enum Step {
    Add { stack: usize, size: usize },
    Drop { victim: usize },
    Resize { victim: usize, size: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_usize..6, 0_usize..500).prop_map(|(stack, size)| Step::Add { stack, size }),
        2 => any::<usize>().prop_map(|victim| Step::Drop { victim }),
        1 => (any::<usize>(), 0_usize..500).prop_map(|(victim, size)| Step::Resize { victim, size }),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn live_and_peak_are_those_of_a_copy_made_at_each_peak(steps in steps()) {
        let (profile, pages) = (Box::new(Profile::new()), pages());
        let mut live: Vec<(u32, Stack, Weight)> = Vec::new();
        let mut asked: BTreeMap<Stack, u64> = BTreeMap::new();
        let (mut peak, mut at_peak) = (0, BTreeMap::new());
        let sum = |live: &[(u32, Stack, Weight)]| {
            let mut sums: BTreeMap<Stack, u64> = BTreeMap::new();
            live.iter().for_each(|(_, stack, weight)| *sums.entry(stack.clone()).or_default() += weight.bytes);
            sums
        };
        for step in steps {
            match step {
                Step::Add { stack, size } => {
                    let stack = stack_of(stack);
                    let ticket = profile.add(&pages, (stack.0.as_bytes(), &stack.1), (size, size), MEAN);
                    prop_assert!(ticket != 0 && live.iter().all(|(other, _, _)| *other != ticket));
                    *asked.entry(stack.clone()).or_default() += Weight::of(size, MEAN).bytes;
                    live.push((ticket, stack, Weight::of(size, MEAN)));
                }
                Step::Drop { victim } if !live.is_empty() => {
                    let (ticket, ..) = live.swap_remove(victim % live.len());
                    profile.remove(ticket);
                    profile.remove(ticket);
                }
                Step::Resize { victim, size } if !live.is_empty() => {
                    let at = victim % live.len();
                    profile.resize(live[at].0, (0, size), MEAN);
                    live[at].2 = Weight::of(size, MEAN);
                }
                _ => {}
            }
            let sums = sum(&live);
            let now: u64 = sums.values().sum();
            if now > peak {
                (peak, at_peak) = (now, sums.clone());
            }
            let found = totals(&profile);
            prop_assert_eq!(found.len(), asked.len());
            for (stack, all) in &asked {
                let [[_, total], [_, bytes], [_, most]] = found[&(stack.0.to_owned(), stack.1.clone())];
                prop_assert_eq!(bytes, sums.get(stack).copied().unwrap_or(0));
                prop_assert_eq!(most, at_peak.get(stack).copied().unwrap_or(0));
                prop_assert_eq!(total, *all);
            }
        }
    }
}

#[test]
fn weights_are_unbiased() {
    for size in [0_usize, 1, 16, 1000, 100_000] {
        let weight = Weight::of(size, 4096);
        let seen = 1.0 - (-(size as f64 + 1.0) / 4096.0).exp();
        assert!((weight.bytes as f64 * seen - size as f64).abs() <= 1.0, "{size}");
        assert!((weight.objects as f64 / PARTS as f64 * seen - 1.0).abs() < 0.01, "{size}");
    }
}

#[test]
fn unknown_tickets_are_nothing() {
    let profile = Box::new(Profile::new());
    profile.remove(0);
    profile.remove(7);
    profile.resize(u32::MAX, (0, 1), MEAN);
}

#[test]
fn names_of_heaps_are_plain_kept_once_and_bounded() {
    let (profile, pages) = (Box::new(Profile::new()), pages());
    let add = |name: &[u8]| assert_ne!(profile.add(&pages, (name, &[1]), (8, 8), MEAN), 0);
    let names = || profile.names().map(|name| String::from_utf8(name.text().to_vec()).unwrap()).collect::<Vec<_>>();
    for name in [&b""[..], b"a\n\xff", b"a\n\xff", b"\0hidden", b"a??", b"b\0hidden", &[b'x'; 99]] {
        add(name);
    }
    assert_eq!(names(), [&"x".repeat(64), "b", "a??"]);
    assert_eq!(profile.names().map(|name| name.number).collect::<Vec<_>>(), [2, 1, 0]);
    // The default heap has an entry, too.
    assert_eq!(profile.entries().count(), 4);
    (0..3000).for_each(|number| add(format!("heap {number}").as_bytes()));
    let kept = names();
    assert_eq!((kept.len(), kept[0].as_str()), (1001, "(further heaps)"));
    assert_eq!(profile.entries().count(), 4 + 997 + 1);
}
