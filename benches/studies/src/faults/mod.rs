//! How fresh pages become resident: one fault at a time, or ahead of their use, and by how much.
//!
//! Knows: the tables of the page. Must not know: how pages are populated.

mod populate;
mod toy;

use crate::page::{Page, Table};
use anyhow::Result;
use populate::Way;
use spandrel_xtask::stats;
use toy::{Load, Round};

const KIB: usize = 1024;
const BATCHES: [usize; 5] = [8 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB];
const LOADS: [Load; 3] = [
    Load { name: "256 slots, 20 000 steps", slots: 256, steps: 20_000 },
    Load { name: "8192 slots, 60 000 steps", slots: 8192, steps: 60_000 },
    Load { name: "65 536 slots, 200 000 steps", slots: 65_536, steps: 200_000 },
];
/// A round takes a millisecond or a few.
const ROUNDS_OF_A_RUN: usize = 5;
const MICROS: f64 = 1e6;

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let rounds = runs * ROUNDS_OF_A_RUN;
    let tables = LOADS.iter().map(|load| table(load, rounds)).collect::<Result<_>>()?;
    Ok(Page { name: "faults", title: "Page faults of fresh memory", tables })
}

/// A way and how much it populates at a time; lazy has no batch.
fn ways() -> Vec<(Way, usize)> {
    let ahead = [Way::Touch, Way::Map, Way::Advise].into_iter();
    let with_batches = ahead.flat_map(|way| BATCHES.map(|batch| (way, batch)));
    std::iter::once((Way::Lazy, 0)).chain(with_batches).collect()
}

fn table(load: &Load, rounds: usize) -> Result<Table> {
    let ways = ways();
    let mut found: Vec<Vec<Round>> = vec![Vec::new(); ways.len()];
    for round in 0..=rounds {
        for (at, &(way, batch)) in ways.iter().enumerate() {
            let made = toy::round(load, way, batch)?;
            if round > 0 {
                found[at].push(made);
            }
        }
    }
    let mut table = Table::new(
        load.name,
        format!(
            "random_mixed (16 to 1040 bytes) in a fresh heap of spans of 64 KiB, first and last bytes touched; medians of {rounds} \
             interleaved rounds. A batch below 64 KiB is populated within the span of a class, a larger one as spans are taken. The kernel counts \
             populated pages as faults, too."
        ),
        &["way", "batch", "µs", "against lazy", "faults", "resident KiB", "against lazy"],
    );
    let median = |rounds: &[Round], of: fn(&Round) -> f64| stats::median(&rounds.iter().map(of).collect::<Vec<_>>());
    let base = (median(&found[0], |round| round.seconds), median(&found[0], |round| round.resident as f64));
    for (&(way, batch), rounds) in ways.iter().zip(&found) {
        let (seconds, resident) =
            (median(rounds, |round| round.seconds), median(rounds, |round| round.resident as f64));
        table.rows.push(vec![
            way.name().to_owned(),
            if batch == 0 { "a page".to_owned() } else { format!("{} KiB", batch / KIB) },
            format!("{:.0}", seconds * MICROS),
            format!("{:.2}", stats::ratio(seconds, base.0)),
            format!("{:.0}", median(rounds, |round| round.faults as f64)),
            format!("{:.0}", resident / KIB as f64),
            format!("{:.2}", stats::ratio(resident, base.1)),
        ]);
    }
    Ok(table)
}
