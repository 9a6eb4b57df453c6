//! The model of a reader beside a writer.

use super::*;
use loom::sync::Arc;
use std::{boxed::Box, vec::Vec};

fn array(count: usize) -> &'static [Slot] {
    Box::leak((0..count).map(|_| Slot::new()).collect::<Vec<_>>().into_boxed_slice())
}

/// A reader finds a range whole or not at all while a writer removes it and adds another at the same address.
#[test]
fn loom_a_reader_finds_a_whole_range_or_none() {
    static SEEN: std::sync::Mutex<Vec<Option<u32>>> = std::sync::Mutex::new(Vec::new());
    let mut model = loom::model::Builder::new();
    // All of them, which took eight minutes, found nothing either.
    model.preemption_bound = Some(2);
    model.check(|| {
        let (table, mut writer) = (Arc::new(Ranges::new()), Writer::new());
        let (first, second) = (
            Range { start: 8 * SMALLEST, bytes: SMALLEST, tag: 1 },
            Range { start: 8 * SMALLEST, bytes: 2 * SMALLEST, tag: 2 },
        );
        assert!(table.install(&writer, array(FIRST)));
        table.add(&mut writer, first);
        let reader = table.clone();
        let reader = loom::thread::spawn(move || reader.find(first.start));
        table.replace(&mut writer, first.start, second);
        if let Ok(found) = reader.join().unwrap() {
            assert!(found.is_none_or(|range| range == first || range == second), "{found:?}");
            SEEN.lock().unwrap().push(found.map(|range| range.tag));
        }
    });
    let seen = SEEN.lock().unwrap();
    assert!([Some(1), Some(2)].iter().all(|tag| seen.contains(tag)), "{} runs", seen.len());
}
