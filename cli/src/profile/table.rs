//! The functions of a profile, with what they asked for themselves and what everything below them did.

use super::Profile;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// By what the rows are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Order {
    /// The memory that functions asked for themselves
    Own,
    /// That and what the functions that they called did
    Cumulative,
}

/// Own and cumulative values by function.
pub(super) fn sums(profile: &Profile, value: usize) -> HashMap<(String, String), (i64, i64)> {
    let mut sums: HashMap<(String, String), (i64, i64)> = HashMap::new();
    for stack in &profile.stacks {
        let mut seen = HashSet::new();
        for (above, frame) in stack.frames.iter().rev().enumerate() {
            let key = (frame.name.clone(), frame.object.clone());
            let sum = sums.entry(key.clone()).or_default();
            if above == 0 {
                sum.0 += stack.values[value];
            }
            // A function that calls itself counts once.
            if seen.insert(key) {
                sum.1 += stack.values[value];
            }
        }
    }
    sums
}

/// A function: its name and its object, its own value and the cumulative one.
type Row = ((String, String), (i64, i64));

/// The `rows` largest functions. Ordered by own values, those without one are left out.
fn largest(profile: &Profile, value: usize, order: Order, rows: usize) -> Vec<Row> {
    let key = |sums: &(i64, i64)| if order == Order::Own { (sums.0, sums.1) } else { (sums.1, sums.0) };
    let mut functions: Vec<_> = sums(profile, value).into_iter().filter(|(_, sums)| key(sums).0 != 0).collect();
    functions.sort_by(|(name, one), (other_name, other)| key(other).cmp(&key(one)).then_with(|| name.cmp(other_name)));
    functions.truncate(rows);
    functions
}

/// The same as values.
pub(crate) fn table_values(profile: &Profile, value: usize, order: Order, rows: usize) -> Value {
    let heap = |(name, sum): &(&str, i64)| json!({ "heap": name, "own": sum });
    let row = |((name, object), (own, cumulative)): Row| json!({ "function": name, "object": object, "own": own, "cumulative": cumulative });
    json!({
        "value": profile.values[value].0,
        "unit": profile.values[value].1,
        "total": profile.total(value),
        "period": profile.period,
        "seconds": profile.seconds,
        "functions": largest(profile, value, order, rows).into_iter().map(row).collect::<Vec<_>>(),
        "heaps": profile.heaps(value).iter().take(rows).map(heap).collect::<Vec<_>>(),
    })
}

/// A table of the `rows` named heaps with most; empty in a profile without named heaps.
fn heap_table(profile: &Profile, value: usize, rows: usize) -> String {
    let heaps = profile.heaps(value);
    let total = profile.total(value);
    let mut text = if heaps.is_empty() { String::new() } else { format!("\n{:>10} {:>6}  heap\n", "own", "%") };
    for (name, sum) in heaps.iter().take(rows) {
        let name = if name.is_empty() { "(default)".to_owned() } else { format!("{name:?}") };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>10} {:>5.1}%  {name}", profile.show(value, *sum), percent(*sum, total));
    }
    if heaps.len() > rows {
        let rest: i64 = heaps.iter().skip(rows).map(|(_, sum)| sum).sum();
        let (shown, part) = (profile.show(value, rest), percent(rest, total));
        let _ = writeln!(text, "{shown:>10} {part:>5.1}%  {} more heaps", heaps.len() - rows);
    }
    text
}

fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// The table of the `rows` largest functions.
pub(crate) fn table(profile: &Profile, value: usize, order: Order, rows: usize) -> String {
    let total = profile.total(value);
    let mut about = profile.describe(value);
    if about.starts_with("peak_") {
        about = about.replace(')', "; --value inuse_space for the end)");
    }
    let mut text = format!(
        "{about}: {} in {} stacks; one sample every {}, {:.1} s\n{:>10} {:>6} {:>10} {:>6}  function\n",
        profile.show(value, total),
        profile.stacks.iter().filter(|stack| stack.values[value] != 0).count(),
        crate::quantity::show(profile.period.unsigned_abs()),
        profile.seconds,
        "own",
        "%",
        "with calls",
        "%"
    );
    for ((name, object), (own, cumulative)) in &largest(profile, value, order, rows) {
        let (own_text, cumulative_text) = (profile.show(value, *own), profile.show(value, *cumulative));
        let (own, cumulative) = (percent(*own, total), percent(*cumulative, total));
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{own_text:>10} {own:>5.1}% {cumulative_text:>10} {cumulative:>5.1}%  {name} [{object}]");
    }
    text + &heap_table(profile, value, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read::tests::of;

    #[test]
    fn own_and_cumulative_values_are_told_apart_and_recursion_counts_once() {
        let profile = of(&[("main;a;b", 30), ("main;a;a", 50), ("main;c", 20)]);
        let sums = sums(&profile, 0);
        let of = |name: &str| sums[&(name.to_owned(), "program".to_owned())];
        assert_eq!((of("main"), of("a"), of("b"), of("c")), ((0, 100), (50, 80), (30, 30), (20, 20)));
        let lines = |order| table(&profile, 0, order, 2).lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        assert!(lines(Order::Own)[0].ends_with("a [program]") && lines(Order::Own).len() == 2);
        assert!(lines(Order::Cumulative)[0].ends_with("main [program]"));
    }

    #[test]
    fn heaps_have_a_table_of_their_own() {
        let profile = of(&[("main", 20), ("x\"y:main", 60), ("z:main", 15), ("w:main", 5)]);
        let text = table(&profile, 0, Order::Own, 2);
        let (_, heaps) = text.split_once("\n\n").unwrap();
        let lines: Vec<_> = heaps.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines, ["own % heap", r#"60 B 60.0% "x\"y""#, "20 B 20.0% (default)", "20 B 20.0% 2 more heaps"]);
        assert_eq!(table_values(&profile, 0, Order::Own, 1)["heaps"], json!([{ "heap": "x\"y", "own": 60 }]));
        assert!(!table(&of(&[("main", 20)]), 0, Order::Own, 2).contains("heap"));
    }
}
