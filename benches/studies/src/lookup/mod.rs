//! How free gets from a pointer to a class: cost, memory and wrong answers of the alternatives.
//!
//! Knows: the tables of the page. Must not know: how an alternative works.

mod count;
mod heap;
mod map;
mod scheme;
mod time;
mod wrong;

use crate::page::{Page, Table};
use anyhow::Result;
use heap::Heap;
use map::{Flat, Radix};
use scheme::{Given, Hash, HeaderByte, LastClass, Ranged, RegionHeader, Scheme};

/// Calls a generic function with each scheme; [`Given`] comes first.
macro_rules! with_each {
    ($function:ident($($argument:expr),*)) => {
        [
            $function::<Given>($($argument),*),
            $function::<Flat<u64>>($($argument),*),
            $function::<Flat<u32>>($($argument),*),
            $function::<Ranged>($($argument),*),
            $function::<Radix>($($argument),*),
            $function::<Hash>($($argument),*),
            $function::<LastClass<Flat<u64>>>($($argument),*),
            $function::<LastClass<Hash>>($($argument),*),
            $function::<RegionHeader>($($argument),*),
            $function::<HeaderByte>($($argument),*),
        ]
    };
}
use with_each;

/// Blocks of the heaps that are looked through, and what that is.
const STREAMS: [(usize, &str); 4] =
    [(1, "one block"), (256, "256 blocks"), (8192, "8192 blocks"), (200_000, "200 000 blocks, cold")];
/// The heap whose instructions and memory the page shows.
const COUNTED: usize = 8192;
const LARGE: usize = 200_000;
const KIB: f64 = 1024.0;

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    Ok(Page { name: "lookup", title: "From a pointer to its class", tables: vec![costs(runs)?, wrong_answers()?] })
}

/// One run for callgrind.
pub(crate) fn kernel(scheme: &str, passes: usize) -> Result<()> {
    count::kernel(scheme, passes)
}

fn costs(runs: usize) -> Result<Table> {
    let mut columns = vec!["way", "instructions"];
    columns.extend(STREAMS.iter().map(|(_, name)| *name));
    columns.push("KiB for 100 MB");
    let mut table = Table::new(
        "Cost of one lookup",
        format!(
            "A lookup and a push to the bin of the class it found, less the push alone (first row, in full). Instructions by callgrind; \
             ns are medians of {runs} interleaved rounds over blocks of 16 to 1024 bytes in random order. The last column is the \
             memory the way needs beyond a heap of {LARGE} blocks."
        ),
        &columns,
    );
    let instructions = count::instructions(&names())?;
    let mut times = Vec::new();
    for (blocks, _) in STREAMS {
        times.push(time::medians(blocks, runs)?);
    }
    let memory: Vec<f64> = with_each!(resident()).into_iter().collect::<Result<_>>()?;
    for (at, name) in names().into_iter().enumerate() {
        let mut row = vec![name.to_owned(), format!("{:.1}", instructions[at])];
        row.extend(times.iter().map(|column| format!("{:.2}", column[at])));
        row.push(format!("{:.0}", memory[at]));
        table.rows.push(row);
    }
    Ok(table)
}

fn wrong_answers() -> Result<Table> {
    let mut table = Table::new(
        "Wrong answers",
        "Of addresses inside blocks, how many get another class than their block's; of foreign addresses (null, small numbers, stack, \
         static data, libc's heap, other mappings, non-canonical), how many are taken for a block, and for how many foreign memory \
         is read (a crash where there is none); what is answered when a region has changed its class since the last lookup; of \
         blocks whose predecessor overran by one byte, how many get another class.",
        &["way", "inside a block", "foreign, taken", "foreign, read there", "changed region", "after an overrun"],
    );
    for row in with_each!(answers()).into_iter().skip(1) {
        table.rows.push(row?);
    }
    Ok(table)
}

fn name<S: Scheme>() -> &'static str {
    S::NAME
}

fn names() -> Vec<&'static str> {
    with_each!(name()).to_vec()
}

fn resident<S: Scheme>() -> Result<f64> {
    let heap = Heap::new(LARGE, S::HEADER)?;
    Ok(S::build(&heap)?.resident(&heap) as f64 / KIB)
}

fn answers<S: Scheme>() -> Result<Vec<String>> {
    let heap = Heap::new(COUNTED, S::HEADER)?;
    let found = wrong::probe::<S>(&heap)?;
    let share = |(wrong, of): (usize, usize)| format!("{wrong} of {of}");
    Ok(vec![
        S::NAME.to_owned(),
        share(found.inside),
        share(found.taken),
        share(found.read),
        if found.stale { "old class" } else { "right" }.to_owned(),
        share(found.overrun),
    ])
}
