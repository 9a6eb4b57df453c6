//! A profile from a file: unpacked, decoded, its addresses named.
//!
//! Must not know: what is shown of it.

use super::message;
use super::names::{self, AtRunTime};
use super::{Frame, Stack};
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// See the module.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Names and units of the values of each stack.
    pub(crate) values: Vec<(String, String)>,
    pub(crate) stacks: Vec<Stack>,
    /// Units between samples, on average.
    pub(crate) period: i64,
    /// Seconds that samples were taken.
    pub(crate) seconds: f64,
    /// Which value is meant if none is named.
    default: usize,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The label of samples that has the name of their heap.
pub(super) const HEAP: &str = "heap";

/// Reads the file at `path`.
///
/// # Errors
/// Where it cannot be read, or is no profile.
pub(crate) fn read(path: &Path) -> Result<Profile> {
    let data = fs::read(path).with_context(|| format!("{}", path.display()))?;
    decode(&data).with_context(|| format!("{} is no heap profile", path.display()))
}

fn unpack(data: &[u8]) -> Result<message::Profile> {
    let mut unpacked = Vec::new();
    if data.starts_with(&GZIP) {
        GzDecoder::new(data).read_to_end(&mut unpacked).context("its compression is damaged")?;
    } else {
        unpacked = data.to_vec();
    }
    let raw = message::Profile::decode(&unpacked)?;
    if raw.values.is_empty() || raw.texts.is_empty() {
        bail!("it says nothing of what it counts");
    }
    Ok(raw)
}

fn decode(data: &[u8]) -> Result<Profile> {
    let mut raw = unpack(data)?;
    names::complete(&mut raw, &mut Symbols::default(), &AtRunTime::default());
    let text = |number: i64| raw.text(number).to_owned();
    let values: Vec<_> = raw.values.iter().map(|value| (text(value.name), text(value.unit))).collect();
    let default = raw.values.iter().position(|value| value.name == raw.default_value).unwrap_or(values.len() - 1);
    let functions: HashMap<_, _> = raw.functions.iter().map(|function| (function.id, *function)).collect();
    let named: HashMap<_, _> =
        raw.locations.iter().map(|location| (location.id, names::frames(&raw, location, &functions))).collect();
    let heap = |sample: &message::Sample| {
        let label = sample.labels.iter().find(|label| raw.text(label.name) == HEAP);
        label.map_or("", |label| raw.text(label.unit)).replace(char::is_control, "?")
    };
    let stack = |sample: &message::Sample| Stack { heap: heap(sample), ..stack(sample, &named, values.len()) };
    let stacks = raw.samples.iter().map(stack).collect();
    Ok(Profile { values, stacks, period: raw.period, seconds: raw.duration as f64 / 1e9, default })
}

/// Puts names into the profile at `from` and writes it to `to`, whole or not at all. Returns how many stacks it has.
///
/// # Errors
/// Where `from` is no profile, or `to` cannot be written.
pub(crate) fn finish(from: &Path, to: &Path, at_run_time: &AtRunTime) -> Result<usize> {
    let data = fs::read(from).with_context(|| format!("{}", from.display()))?;
    let mut raw = unpack(&data).with_context(|| format!("{} is no heap profile", from.display()))?;
    names::complete(&mut raw, &mut Symbols::default(), at_run_time);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&raw.encode())?;
    let draft = from.with_extension("draft");
    fs::write(&draft, packed.finish()?).with_context(|| format!("{}", draft.display()))?;
    fs::rename(&draft, to).with_context(|| format!("{}", to.display()))?;
    Ok(raw.samples.len())
}

fn stack(sample: &message::Sample, named: &HashMap<u64, Vec<Frame>>, values: usize) -> Stack {
    let outermost_first = sample.locations.iter().rev();
    let frames =
        outermost_first.filter_map(|id| named.get(id)).flat_map(|frames| frames.iter().rev()).cloned().collect();
    let mut known = sample.values.clone();
    known.resize(values, 0);
    Stack { frames, values: known, heap: String::new() }
}

impl Profile {
    /// The number of the value of that name, or of the one that is usual.
    ///
    /// # Errors
    /// Where there is none of that name; the message names all.
    pub(crate) fn value(&self, name: Option<&str>) -> Result<usize> {
        let Some(name) = name else { return Ok(self.default) };
        let found = self.values.iter().position(|(known, _)| known == name);
        found.with_context(|| {
            let known: Vec<_> = self.values.iter().map(|(name, _)| name.as_str()).collect();
            format!("there is no value {name}; there are {}", known.join(", "))
        })
    }

    /// The profile of what was asked for in the named heap of that name alone; the default heap's for an empty one.
    ///
    /// # Errors
    /// Where it has no stack of that heap; the message names some heaps.
    pub(crate) fn only(self, heap: Option<&str>) -> Result<Self> {
        const NAMED: usize = 10;
        if let Some(heap) = heap
            && !self.stacks.iter().any(|stack| stack.heap == heap)
        {
            let known: BTreeSet<_> = self.stacks.iter().map(|stack| format!("{:?}", stack.heap)).collect();
            let some: Vec<_> = known.into_iter().take(NAMED).collect();
            bail!("there is no heap {heap:?} in it; there are {}", some.join(", "));
        }
        Ok(self.of_heap(heap))
    }

    /// As [`Profile::only`], where the heap may be missing.
    pub(crate) fn of_heap(mut self, heap: Option<&str>) -> Self {
        self.stacks.retain(|stack| heap.is_none_or(|heap| stack.heap == heap));
        self
    }

    /// The sums of value number `value` by heap, the largest first; none in a profile without named heaps.
    pub(crate) fn heaps(&self, value: usize) -> Vec<(&str, i64)> {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for stack in &self.stacks {
            *sums.entry(&stack.heap).or_default() += stack.values[value];
        }
        let has_names = sums.keys().any(|name| !name.is_empty());
        let mut sums: Vec<_> = sums.into_iter().filter(|_| has_names).collect();
        sums.sort_by_key(|(_, sum)| Reverse(*sum));
        sums
    }

    /// The name of value number `value`, and what it counts where that is known.
    pub(crate) fn describe(&self, value: usize) -> String {
        let name = self.values[value].0.as_str();
        let meaning = match name {
            "peak_space" | "peak_objects" => "when most was in use",
            "inuse_space" | "inuse_objects" => "when the profile was written",
            "alloc_space" | "alloc_objects" => "asked for since the start, freed or not",
            _ => return name.to_owned(),
        };
        format!("{name} ({meaning})")
    }

    /// The sum of value number `value` over all stacks.
    pub(crate) fn total(&self, value: usize) -> i64 {
        self.stacks.iter().map(|stack| stack.values[value]).sum()
    }

    /// A number of value number `value`, with its unit.
    pub(crate) fn show(&self, value: usize, number: i64) -> String {
        let sign = if number < 0 { "-" } else { "" };
        let size = number.unsigned_abs();
        if self.values[value].1 == "bytes" {
            format!("{sign}{}", crate::quantity::show(size))
        } else {
            format!("{sign}{size}")
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A profile of stacks given as `outer;inner` or `heap:outer;inner` with one value in bytes.
    pub(in crate::profile) fn of(stacks: &[(&str, i64)]) -> Profile {
        let frame = |name: &str| Frame { name: name.to_owned(), object: "program".to_owned(), place: None };
        let stack = |&(names, value): &(&str, i64)| {
            let (heap, names) = names.split_once(':').unwrap_or(("", names));
            Stack { frames: names.split(';').map(frame).collect(), values: vec![value], heap: heap.to_owned() }
        };
        Profile {
            values: vec![("inuse_space".to_owned(), "bytes".to_owned())],
            stacks: stacks.iter().map(stack).collect(),
            period: 1,
            seconds: 1.0,
            default: 0,
        }
    }

    fn raw() -> message::Profile {
        let texts = ["", "inuse_space", "bytes", "/no/file", "named", "a.c", HEAP, "a\u{1b}b"];
        message::Profile {
            values: vec![message::ValueType { name: 1, unit: 2 }],
            samples: vec![message::Sample {
                locations: vec![7, 9],
                values: vec![100],
                labels: [(2, 4), (6, 7)].map(|(name, unit)| message::ValueType { name, unit }).to_vec(),
            }],
            mappings: vec![message::Mapping {
                id: 1,
                start: 0x1000,
                limit: 0x2000,
                offset: 0x100,
                file: 3,
                ..message::Mapping::default()
            }],
            locations: vec![
                message::Location { id: 7, mapping: 1, address: 0x1010, lines: Vec::new() },
                message::Location {
                    id: 9,
                    mapping: 1,
                    address: 0x1020,
                    lines: vec![message::Line { function: 3, line: 8 }],
                },
            ],
            functions: vec![message::Function { id: 3, name: 4, file: 5 }],
            texts: texts.map(str::to_owned).to_vec(),
            period: 512,
            default_value: 1,
            ..message::Profile::default()
        }
    }

    #[test]
    fn stacks_are_turned_round_and_named() {
        let profile = decode(&raw().encode()).unwrap();
        let names: Vec<_> = profile.stacks[0].frames.iter().map(|frame| frame.name.as_str()).collect();
        assert_eq!(names, ["named", "file+0x110"]);
        assert_eq!(profile.stacks[0].frames[0].place.as_deref(), Some("a.c:8"));
        assert_eq!(profile.stacks[0].heap, "a?b");
        assert_eq!((profile.total(0), profile.show(0, -2048).as_str()), (100, "-2.00 KiB"));
        assert!(profile.value(Some("other")).unwrap_err().to_string().contains("inuse_space"));
    }

    #[test]
    fn a_finished_profile_says_the_same_without_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&from, raw().encode()).unwrap();
        assert_eq!(finish(&from, &to, &AtRunTime::default()).unwrap(), 1);
        let finished = unpack(&fs::read(&to).unwrap()).unwrap();
        assert!(finished.locations.iter().all(|location| !location.lines.is_empty()) && finished.mappings[0].named);
        assert_eq!(finished.text(finished.default_value), "inuse_space");
        let (before, after) = (read(&from).unwrap(), read(&to).unwrap());
        assert_eq!(before.stacks[0].frames, after.stacks[0].frames);
        assert_eq!(before.stacks[0].heap, after.stacks[0].heap);
        assert_eq!(message::Profile::decode(&finished.encode()).unwrap(), finished);
    }

    #[test]
    fn damaged_files_are_refused() {
        for bad in [&b""[..], b"text", &GZIP, &[0x1f, 0x8b, 8, 0, 0]] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
        let mut unknown = raw();
        unknown.samples[0].locations.push(77);
        unknown.samples[0].values.clear();
        assert_eq!(decode(&unknown.encode()).unwrap().total(0), 0);
    }

    #[test]
    fn heaps_are_summed_up_and_chosen() {
        let profile = || of(&[("main;a", 10), ("x:main;a", 30), ("x:main;b", 5), ("y:main", 12)]);
        assert_eq!(profile().heaps(0), [("x", 35), ("y", 12), ("", 10)]);
        assert!(of(&[("main", 5)]).heaps(0).is_empty());
        let total = |heap| profile().only(heap).map(|profile| profile.total(0));
        assert_eq!([None, Some("x"), Some("")].map(|heap| total(heap).unwrap()), [57, 35, 10]);
        let error = total(Some("z")).unwrap_err().to_string();
        assert!(error.contains(r#"no heap "z""#) && error.contains(r#""", "x", "y""#), "{error}");
    }
}
