//! The changes from one profile to another, by function and by stack.

use super::table::sums;
use super::{Frame, Profile};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// See the module.
pub(crate) struct Difference<'a> {
    before: &'a Profile,
    after: &'a Profile,
    /// The numbers of the value in both.
    values: (usize, usize),
}

/// The difference in the value of that name, or in the one that is usual.
///
/// # Errors
/// Where one of them has no such value.
pub(crate) fn difference<'a>(before: &'a Profile, after: &'a Profile, value: Option<&str>) -> Result<Difference<'a>> {
    let number = after.value(value)?;
    let name = after.values[number].0.as_str();
    Ok(Difference { before, after, values: (before.value(Some(name))?, number) })
}

/// The name of a heap, and the frames of a stack.
type Place<'a> = (&'a str, &'a [Frame]);

impl Difference<'_> {
    /// The `rows` functions whose own value changed most: names, and changes of the own and the cumulative value.
    fn changes(&self, rows: usize) -> Vec<((String, String), (i64, i64))> {
        let mut changes: HashMap<(String, String), (i64, i64)> = HashMap::new();
        for (function, (own, cumulative)) in sums(self.after, self.values.1) {
            changes.insert(function, (own, cumulative));
        }
        for (function, (own, cumulative)) in sums(self.before, self.values.0) {
            let change = changes.entry(function).or_default();
            *change = (change.0 - own, change.1 - cumulative);
        }
        let mut changes: Vec<_> = changes.into_iter().filter(|(_, change)| *change != (0, 0)).collect();
        changes.sort_by_key(|(name, (own, cumulative))| {
            (std::cmp::Reverse(own.unsigned_abs()), std::cmp::Reverse(cumulative.unsigned_abs()), name.clone())
        });
        changes.truncate(rows);
        changes
    }

    /// The same as values.
    pub(crate) fn values(&self, rows: usize) -> Value {
        let changes = self.changes(rows).into_iter().map(|((name, object), (own, cumulative))| {
            json!({ "function": name, "object": object, "own": own, "cumulative": cumulative })
        });
        json!({
            "value": self.after.values[self.values.1].0,
            "before": self.before.total(self.values.0),
            "after": self.after.total(self.values.1),
            "functions": changes.collect::<Vec<_>>(),
        })
    }

    /// The table of the `rows` functions whose own value changed most.
    pub(crate) fn table(&self, rows: usize) -> String {
        let show =
            |number: i64| format!("{}{}", if number > 0 { "+" } else { "" }, self.after.show(self.values.1, number));
        let (before, after) = (self.before.total(self.values.0), self.after.total(self.values.1));
        let mut text = format!(
            "{}: from {} to {}, {}\n{:>11} {:>11}  function\n",
            self.after.values[self.values.1].0,
            self.before.show(self.values.0, before),
            self.after.show(self.values.1, after),
            show(after - before),
            "own",
            "with calls"
        );
        for ((name, object), (own, cumulative)) in &self.changes(rows) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>11} {:>11}  {name} [{object}]", show(*own), show(*cumulative));
        }
        text
    }

    /// The `rows` stacks of a heap that grew most, and by how much.
    fn growths(&self, rows: usize) -> Vec<(Place<'_>, i64)> {
        let mut stacks: BTreeMap<Place<'_>, i64> = BTreeMap::new();
        for stack in &self.after.stacks {
            *stacks.entry((&stack.heap, &stack.frames)).or_default() += stack.values[self.values.1];
        }
        for stack in &self.before.stacks {
            *stacks.entry((&stack.heap, &stack.frames)).or_default() -= stack.values[self.values.0];
        }
        let mut grown: Vec<_> = stacks.into_iter().filter(|(_, growth)| *growth > 0).collect();
        grown.sort_by_key(|(_, growth)| std::cmp::Reverse(*growth));
        grown.truncate(rows);
        grown
    }

    /// The same as values.
    pub(crate) fn grown_values(&self, rows: usize) -> Value {
        let frame = |frame: &Frame| json!({ "function": frame.name, "object": frame.object, "place": frame.place });
        let stack = |((heap, frames), growth): (Place<'_>, i64)| {
            let heap = (!heap.is_empty()).then_some(heap);
            json!({ "bytes": growth, "heap": heap, "stack": frames.iter().rev().map(frame).collect::<Vec<_>>() })
        };
        self.growths(rows).into_iter().map(stack).collect()
    }

    /// The `rows` stacks that grew most, whole: what a program that leaks holds more and more of.
    pub(crate) fn grown(&self, rows: usize) -> String {
        let mut text = String::new();
        for ((heap, frames), growth) in self.growths(rows) {
            let heap = if heap.is_empty() { String::new() } else { format!(" in heap {heap:?}") };
            text += &format!("+{}{heap} from\n", self.after.show(self.values.1, growth));
            text += &lines_of(frames);
        }
        text + &self.grown_heaps(rows)
    }

    /// The `rows` heaps that grew most; nothing without named heaps.
    fn grown_heaps(&self, rows: usize) -> String {
        let mut heaps: BTreeMap<&str, i64> = BTreeMap::new();
        for stack in &self.after.stacks {
            *heaps.entry(&stack.heap).or_default() += stack.values[self.values.1];
        }
        for stack in &self.before.stacks {
            *heaps.entry(&stack.heap).or_default() -= stack.values[self.values.0];
        }
        let has_names = heaps.keys().any(|heap| !heap.is_empty());
        let mut grown: Vec<_> = heaps.into_iter().filter(|(_, growth)| has_names && *growth > 0).collect();
        grown.sort_by_key(|(_, growth)| std::cmp::Reverse(*growth));
        let mut text = String::new();
        for (heap, growth) in grown.into_iter().take(rows) {
            let heap = if heap.is_empty() { "the default heap".to_owned() } else { format!("heap {heap:?}") };
            text += &format!("+{} in all in {heap}\n", self.after.show(self.values.1, growth));
        }
        text
    }
}

/// A stack, the innermost function first, one line each.
pub(crate) fn lines_of(frames: &[Frame]) -> String {
    let line = |frame: &Frame| {
        let place = frame.place.as_ref().map_or_else(|| format!("[{}]", frame.object), |place| format!("({place})"));
        format!("    {} {place}\n", frame.name)
    };
    frames.iter().rev().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read::tests::of;

    #[test]
    fn growth_and_shrinking_are_told() {
        let (before, after) = (of(&[("main;a", 10), ("main;b", 30)]), of(&[("main;a", 15), ("main;c", 7)]));
        let difference = difference(&before, &after, None).unwrap();
        let lines: Vec<_> =
            difference.table(10).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], "inuse_space: from 40 B to 22 B, -18 B");
        assert_eq!(lines[2..5], ["-30 B -30 B b [program]", "+7 B +7 B c [program]", "+5 B +5 B a [program]"]);
        assert!(difference.grown(1).starts_with("+7 B from\n    c [program]\n    main"));
        assert!(super::difference(&before, &after, Some("x")).is_err());
    }

    #[test]
    fn stacks_and_sums_are_told_by_heap() {
        let (before, after) =
            (of(&[("main", 10), ("x:main", 30)]), of(&[("main", 15), ("x:main", 50), ("y\u{22}:main", 9)]));
        let difference = difference(&before, &after, None).unwrap();
        let text = difference.grown(9);
        let heads: Vec<_> = text.lines().filter(|line| line.starts_with('+')).collect();
        let (stacks, sums) = heads.split_at(3);
        assert_eq!(stacks, [r#"+20 B in heap "x" from"#, r#"+9 B in heap "y\"" from"#, "+5 B from"]);
        assert_eq!(
            sums,
            [r#"+20 B in all in heap "x""#, r#"+9 B in all in heap "y\"""#, "+5 B in all in the default heap"]
        );
        let values = difference.grown_values(9);
        assert_eq!((&values[0]["heap"], &values[2]["heap"]), (&json!("x"), &Value::Null));
    }
}
