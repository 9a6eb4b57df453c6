//! How much bins hold and how often they are looked over: CPU time and peak memory of whole workloads.
//!
//! Knows: the settings and the tables. Must not know: how a variant of the library is made.

mod variant;
mod work;

use crate::page::{Page, Table};
use anyhow::Result;
use spandrel_xtask::stats;
use std::path::PathBuf;
use variant::{Edit, Sources};
use work::{Bench, Sample, WORKLOADS};

const BIN_BYTES: &str = "SPANDREL_BIN_BYTES";
const CAPACITIES: [&str; 5] = ["8K", "32K", "128K", "512K", "1M"];
/// Slow events of a heap between two looks over its bins; the largest means never.
const SCAVENGE: Edit = Edit { file: "src/heap/idle/clock.rs", constant: "EVENTS: u32" };
const SCAVENGE_VALUES: [(&str, &str); 4] =
    [("every 16 slow events", "16"), ("every 32", "32"), ("every 512", "512"), ("never", "u32::MAX")];
/// Refills and flushes of a bin before it doubles.
const GROWTH: Edit = Edit { file: "src/heap/refill.rs", constant: "GROWTH_EVENTS: u8" };
const GROWTH_VALUES: [(&str, &str); 3] = [("at each slow event", "1"), ("every 8", "8"), ("every 32", "32")];

/// A library and its environment.
#[derive(Debug)]
struct Setting {
    name: String,
    library: PathBuf,
    environment: Vec<(String, String)>,
}

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let sources = Sources::copy()?;
    let base = sources.build("base")?;
    let plain = |name: &str| Setting { name: name.to_owned(), library: base.clone(), environment: Vec::new() };
    let capacity = |value: &&str| Setting {
        name: format!("{BIN_BYTES}={value}"),
        environment: vec![(BIN_BYTES.to_owned(), (*value).to_owned())],
        ..plain("")
    };
    let mut settings = vec![plain("as it is")];
    settings.extend(CAPACITIES.iter().map(capacity));
    for (title, edit, values) in [("looked over", SCAVENGE, &SCAVENGE_VALUES[..]), ("doubled", GROWTH, &GROWTH_VALUES)]
    {
        for (name, value) in values {
            let library = sources.build_with(&format!("variant-{}", settings.len()), edit, value)?;
            settings.push(Setting { name: format!("{title} {name}"), library, environment: Vec::new() });
        }
    }
    let samples = Bench::new()?.interleave(&settings, runs)?;
    let times = |sample: &Sample| sample.cpu_ms;
    let peaks = |sample: &Sample| sample.mib;
    let note = format!(
        "Medians of {runs} interleaved runs of the lab's workloads, at a part of their full length; the last column is the geometric \
         mean against the library as it is. The rows of `{BIN_BYTES}` are the same library with that variable; the others are built \
         with one constant changed ({}, {}).",
        SCAVENGE.said(),
        GROWTH.said()
    );
    Ok(Page {
        name: "bins",
        title: "Capacity of bins, and scavenging",
        tables: vec![
            table("CPU time in ms", &note, &settings, &samples, times),
            table("Peak memory in MiB (of soak: the mean over time)", &note, &settings, &samples, peaks),
        ],
    })
}

/// A row for each setting, a column for each workload, and the geometric mean of the ratios to the first row.
fn table(title: &str, note: &str, settings: &[Setting], samples: &[Vec<Vec<Sample>>], of: fn(&Sample) -> f64) -> Table {
    let mut columns = vec!["setting"];
    columns.extend(WORKLOADS.iter().map(|(name, _)| *name));
    columns.push("mean");
    let mut table = Table::new(title, note, &columns);
    let median = |samples: &[Sample]| stats::median(&samples.iter().map(of).collect::<Vec<_>>());
    let base: Vec<f64> = samples[0].iter().map(|samples| median(samples)).collect();
    for (setting, samples) in settings.iter().zip(samples) {
        let found: Vec<f64> = samples.iter().map(|samples| median(samples)).collect();
        let logarithms: f64 = found.iter().zip(&base).map(|(&found, &base)| stats::ratio(found, base).ln()).sum();
        let mut row = vec![setting.name.clone()];
        row.extend(found.iter().map(|value| format!("{value:.1}")));
        row.push(format!("{:.3}", (logarithms / found.len() as f64).exp()));
        table.rows.push(row);
    }
    table
}
