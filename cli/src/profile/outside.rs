//! A profile whose samples were read from a process, in pprof's format: what the library would write, with names.
//!
//! Must not know: how samples are read from a process, who asked for the profile.

use super::message::{Location, Mapping, Profile, Sample, ValueType};
use super::names::{self, AtRunTime};
use super::read::HEAP;
use crate::live::Samples;
use crate::symbols::Symbols;
use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::{BTreeSet, HashMap};
use std::io::Write;

/// Names of values and their units, in the order of samples.
const VALUES: [(&str, &str); 6] = [
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
    ("peak_objects", "count"),
    ("peak_space", "bytes"),
];
/// The value that readers begin with.
const DEFAULT: &str = "inuse_space";

/// Texts by number; the first is empty.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Texts {
    fn number(&mut self, text: &str) -> i64 {
        let next = self.all.len() as i64;
        let number = *self.numbers.entry(text.to_owned()).or_insert(next);
        if number == next {
            self.all.push(text.to_owned());
        }
        number
    }
}

/// The samples as a compressed file, made `now` nanoseconds after 1970 began.
///
/// # Errors
/// Where memory for it cannot be had.
pub(crate) fn pack(samples: &Samples, symbols: &mut Symbols, now: u64, at_run_time: &AtRunTime) -> Result<Vec<u8>> {
    let mut profile = profile(samples, now);
    names::complete(&mut profile, symbols, at_run_time);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&profile.encode())?;
    Ok(packed.finish()?)
}

fn profile(samples: &Samples, now: u64) -> Profile {
    let mut texts = Texts::default();
    texts.number("");
    let values = VALUES.map(|(name, unit)| ValueType { name: texts.number(name), unit: texts.number(unit) });
    let period_type = ValueType { name: texts.number("space"), unit: texts.number("bytes") };
    let default_value = texts.number(DEFAULT);
    let mut mappings: Vec<Mapping> = Vec::new();
    for (index, code) in samples.code.iter().enumerate() {
        mappings.push(Mapping {
            id: index as u64 + 1,
            start: code.start as u64,
            limit: code.end as u64,
            offset: code.offset as u64,
            file: texts.number(&code.path.to_string_lossy()),
            ..Mapping::default()
        });
    }
    let key = texts.number(HEAP);
    let stacks = samples.stacks.iter().map(|stack| Sample {
        locations: stack.frames.iter().map(|&frame| call_before(frame)).collect(),
        values: stack.values.to_vec(),
        labels: stack.heap.iter().map(|heap| ValueType { name: key, unit: texts.number(heap) }).collect(),
    });
    let stacks: Vec<_> = stacks.collect();
    let places: BTreeSet<u64> = stacks.iter().flat_map(|stack| &stack.locations).copied().collect();
    let mapping = |address: u64| {
        let after = mappings.partition_point(|mapping| mapping.start <= address);
        let inside = after.checked_sub(1).map(|last| &mappings[last]).filter(|mapping| address < mapping.limit);
        inside.map_or(0, |mapping| mapping.id)
    };
    let location = |&address: &u64| Location { id: address, mapping: mapping(address), address, lines: Vec::new() };
    Profile {
        values: values.to_vec(),
        locations: places.iter().map(location).collect(),
        samples: stacks,
        mappings,
        texts: texts.all,
        time: now as i64,
        duration: now.saturating_sub(samples.since as u64) as i64,
        period_type,
        period: samples.mean as i64,
        default_value,
        ..Profile::default()
    }
}

/// An address within the call that returns to `frame`; no place has number 0.
fn call_before(frame: usize) -> u64 {
    frame.saturating_sub(1).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Process, Sampled};
    use crate::profile::read;

    #[test]
    fn a_packed_profile_has_names_values_and_mappings() {
        let own = Process::open(std::process::id()).unwrap();
        let code: Vec<_> = own.mappings().unwrap().into_iter().filter(|mapping| mapping.executable).collect();
        let here = a_packed_profile_has_names_values_and_mappings as fn() as usize + 16;
        let stack = |heap: Option<&str>, frames: &[usize], bytes| Sampled {
            frames: frames.to_vec(),
            heap: heap.map(str::to_owned),
            values: [9, 90, 1, bytes, 2, 20],
        };
        let stacks =
            vec![stack(None, &[0, here], 10), stack(Some("a\"b"), &[usize::MAX], 5), stack(Some("space"), &[], 1)];
        let samples = Samples { mean: 512, since: 1_000_000_000, stacks, code };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heap");
        std::fs::write(&path, pack(&samples, &mut Symbols::default(), 3_000_000_000, &AtRunTime::default()).unwrap())
            .unwrap();
        let profile = read(&path).unwrap();
        let value = profile.value(None).unwrap();
        assert_eq!((profile.values[value].0.as_str(), profile.total(value)), (DEFAULT, 16));
        assert_eq!((profile.period, profile.seconds, profile.stacks.len()), (512, 2.0, 3));
        let name = &profile.stacks[0].frames[0].name;
        assert!(name.contains("a_packed_profile_has_names_values_and_mappings"), "{name}");
        assert_eq!(profile.stacks[1].frames[0].name, format!("{:#x}", usize::MAX - 1));
        assert_eq!(profile.stacks.iter().map(|stack| stack.heap.as_str()).collect::<Vec<_>>(), ["", "a\"b", "space"]);
    }
}
