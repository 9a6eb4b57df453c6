//! The table against a map in order of addresses, and what it remembers.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn array(count: usize) -> &'static [Slot] {
    Box::leak((0..count).map(|_| Slot::new()).collect::<Vec<_>>().into_boxed_slice())
}

fn add(table: &Ranges, writer: &mut Writer, range: Range) {
    if let Some(count) = table.wants(writer) {
        assert!(table.install(writer, array(count)));
    }
    table.add(writer, range);
}

const PAGE: usize = SMALLEST;

#[test]
fn a_range_has_one_or_two_keys_and_is_found_by_each_of_its_addresses() {
    for (start, pages) in [(1, 1), (3, 2), (5, 3), (8191, 8192), (1, 1 << 20), (12345, 99999)] {
        let range = Range { start: start * PAGE, bytes: pages * PAGE, tag: 7 };
        assert!((1..=2).contains(&range.keys().count()), "{range:?}");
        let (table, mut writer) = (Ranges::new(), Writer::new());
        add(&table, &mut writer, range);
        let end = range.start + range.bytes;
        for address in [range.start, range.start + 1, range.start + range.bytes / 2, end - 1] {
            assert_eq!(table.find(address), Ok(Some(range)));
        }
        assert_eq!((table.find(range.start - 1), table.find(end)), (Ok(None), Ok(None)));
    }
}

#[test]
fn a_range_taken_out_is_remembered_until_another_is_there() {
    let (table, mut writer) = (Ranges::new(), Writer::new());
    let range = |page: usize| Range { start: page * PAGE, bytes: 4 * PAGE, tag: 0 };
    add(&table, &mut writer, range(8));
    assert_eq!(table.was_there(8 * PAGE), Ok(false));
    assert_eq!(table.remove(&mut writer, 8 * PAGE), Some(range(8)));
    assert_eq!(table.remove(&mut writer, 8 * PAGE), None);
    assert_eq!((table.was_there(8 * PAGE), table.was_there(9 * PAGE)), (Ok(true), Ok(false)));
    add(&table, &mut writer, range(6));
    assert_eq!(table.was_there(8 * PAGE), Ok(false));
    for page in (100..).step_by(4).take(RECENT + 1) {
        add(&table, &mut writer, range(page));
        table.remove(&mut writer, page * PAGE);
    }
    assert_eq!((table.was_there(100 * PAGE), table.was_there(104 * PAGE)), (Ok(false), Ok(true)));
}

proptest! {
    /// Against a map in order of addresses.
    #[test]
    fn finds_what_a_map_finds(steps in proptest::collection::vec((0_usize..2000, 1_usize..300, 0_u32..4), 1..400)) {
        let (table, mut writer, mut model) = (Ranges::new(), Writer::new(), BTreeMap::<usize, Range>::new());
        let around = |model: &BTreeMap<usize, Range>, address: usize| {
            model.range(..=address).next_back().map(|(_, range)| *range).filter(|range| range.contains(address))
        };
        for (page, pages, action) in steps {
            let (start, bytes) = ((page + 1) * PAGE, pages * PAGE);
            let known = around(&model, start);
            match (action, known) {
                (0, Some(range)) => {
                    prop_assert_eq!(table.remove(&mut writer, range.start), Some(range));
                    model.remove(&range.start);
                }
                (1, Some(range)) => {
                    let new = Range { bytes: range.bytes.min(bytes), tag: range.tag + 1, ..range };
                    table.replace(&mut writer, range.start, new);
                    model.insert(range.start, new);
                }
                (_, None) => {
                    let room = model.range(start..).next().map_or(usize::MAX, |(next, _)| next - start);
                    let range = Range { start, bytes: bytes.min(room), tag: action };
                    add(&table, &mut writer, range);
                    model.insert(start, range);
                }
                _ => {}
            }
            prop_assert_eq!(table.find(start), Ok(around(&model, start)));
            prop_assert_eq!(table.find(start + bytes), Ok(around(&model, start + bytes)));
            prop_assert_eq!(table.is_empty(), model.is_empty());
        }
        for range in model.values() {
            prop_assert_eq!(table.remove(&mut writer, range.start), Some(*range));
        }
        prop_assert!(table.is_empty() && writer.keys == 0);
    }
}
