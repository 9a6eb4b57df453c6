//! Collapsed stacks: one line each, functions from the outermost on with semicolons between them, then the value. Most
//! flame-graph tools read this form.

use super::Profile;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The stacks as values.
pub(crate) fn collapsed(profile: &Profile, value: usize) -> Value {
    let stacks = profile.stacks.iter().filter(|stack| stack.values[value] != 0).map(|stack| {
        let names: Vec<_> = stack.frames.iter().map(|frame| &frame.name).collect();
        json!({ "functions": names, "value": stack.values[value] })
    });
    json!({ "value": profile.values[value].0, "unit": profile.values[value].1, "stacks": stacks.collect::<Vec<_>>() })
}

/// The lines, in alphabetical order; stacks of the same functions are added up, and those of nothing left out.
pub(crate) fn collapse(profile: &Profile, value: usize) -> String {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for stack in &profile.stacks {
        let names: Vec<_> = stack.frames.iter().map(|frame| frame.name.replace([';', '\n'], ":")).collect();
        *sums.entry(names.join(";")).or_default() += stack.values[value];
    }
    sums.into_iter().filter(|(_, sum)| *sum != 0).map(|(names, sum)| format!("{names} {sum}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read::tests::of;

    #[test]
    fn the_same_stacks_are_one_line() {
        let profile = of(&[("main;b", 3), ("main;a", 5), ("main;b", 4), ("main;c", 0)]);
        assert_eq!(collapse(&profile, 0), "main;a 5\nmain;b 7\n");
    }
}
