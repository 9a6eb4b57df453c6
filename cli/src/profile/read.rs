//! A profile from a file: unpacked, decoded, its addresses named.
//!
//! Must not know: what is shown of it.

use super::message;
use super::{Frame, Stack};
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use prost::Message;
use std::collections::HashMap;
use std::fs;
use std::io::Read;
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

/// Reads the file at `path`.
///
/// # Errors
/// Where it cannot be read, or is no profile.
pub(crate) fn read(path: &Path) -> Result<Profile> {
    let data = fs::read(path).with_context(|| format!("{}", path.display()))?;
    decode(&data).with_context(|| format!("{} is no heap profile", path.display()))
}

fn decode(data: &[u8]) -> Result<Profile> {
    let mut unpacked = Vec::new();
    if data.starts_with(&GZIP) {
        GzDecoder::new(data).read_to_end(&mut unpacked).context("its compression is damaged")?;
    } else {
        unpacked = data.to_vec();
    }
    let raw = message::Profile::decode(&*unpacked)?;
    if raw.values.is_empty() || raw.texts.is_empty() {
        bail!("it says nothing of what it counts");
    }
    let text = |index: i64| raw.texts.get(usize::try_from(index).unwrap_or(0)).cloned().unwrap_or_default();
    let values: Vec<_> = raw.values.iter().map(|value| (text(value.name), text(value.unit))).collect();
    let default = raw.values.iter().position(|value| value.name == raw.default_value).unwrap_or(values.len() - 1);
    let named = frames(&raw, &text);
    let stacks = raw.samples.iter().map(|sample| stack(sample, &named, values.len())).collect();
    Ok(Profile { values, stacks, period: raw.period, seconds: raw.duration as f64 / 1e9, default })
}

/// The functions of each location, the innermost first.
fn frames(raw: &message::Profile, text: &dyn Fn(i64) -> String) -> HashMap<u64, Vec<Frame>> {
    let mappings: HashMap<_, _> = raw.mappings.iter().map(|mapping| (mapping.id, mapping)).collect();
    let functions: HashMap<_, _> = raw.functions.iter().map(|function| (function.id, function)).collect();
    let mut symbols = Symbols::default();
    let mut name = |location: &message::Location| {
        let mapping = mappings.get(&location.mapping);
        let given = location.lines.iter().filter_map(|line| {
            let function = functions.get(&line.function)?;
            let place = Some(format!("{}:{}", text(function.file), line.line));
            Some(Frame {
                name: text(function.name),
                object: mapping.map_or_else(String::new, |mapping| text(mapping.file)),
                place,
            })
        });
        let given: Vec<_> = given.collect();
        match mapping {
            _ if !given.is_empty() => given,
            Some(mapping) if !text(mapping.file).is_empty() => symbols
                .frames(&text(mapping.file), location.address.wrapping_sub(mapping.start).wrapping_add(mapping.offset)),
            _ => vec![Frame { name: format!("{:#x}", location.address), object: "(no file)".to_owned(), place: None }],
        }
    };
    raw.locations.iter().map(|location| (location.id, name(location))).collect()
}

fn stack(sample: &message::Sample, named: &HashMap<u64, Vec<Frame>>, values: usize) -> Stack {
    let outermost_first = sample.locations.iter().rev();
    let frames =
        outermost_first.filter_map(|id| named.get(id)).flat_map(|frames| frames.iter().rev()).cloned().collect();
    let mut known = sample.values.clone();
    known.resize(values, 0);
    Stack { frames, values: known }
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

    /// A profile of stacks given as `outer;inner` with one value in bytes.
    pub(in crate::profile) fn of(stacks: &[(&str, i64)]) -> Profile {
        let frame = |name: &str| Frame { name: name.to_owned(), object: "program".to_owned(), place: None };
        let stack = |&(names, value): &(&str, i64)| Stack {
            frames: names.split(';').map(frame).collect(),
            values: vec![value],
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
        let texts = ["", "inuse_space", "bytes", "/no/file", "named", "a.c"];
        message::Profile {
            values: vec![message::ValueType { name: 1, unit: 2 }],
            samples: vec![message::Sample { locations: vec![7, 9], values: vec![100] }],
            mappings: vec![message::Mapping { id: 1, start: 0x1000, limit: 0x2000, offset: 0x100, file: 3 }],
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
            duration: 0,
            period: 512,
            default_value: 1,
        }
    }

    #[test]
    fn stacks_are_turned_round_and_named() {
        let profile = decode(&raw().encode_to_vec()).unwrap();
        let names: Vec<_> = profile.stacks[0].frames.iter().map(|frame| frame.name.as_str()).collect();
        assert_eq!(names, ["named", "file+0x110"]);
        assert_eq!(profile.stacks[0].frames[0].place.as_deref(), Some("a.c:8"));
        assert_eq!((profile.total(0), profile.show(0, -2048).as_str()), (100, "-2.00 KiB"));
        assert!(profile.value(Some("other")).unwrap_err().to_string().contains("inuse_space"));
    }

    #[test]
    fn damaged_files_are_refused() {
        for bad in [&b""[..], b"text", &GZIP, &[0x1f, 0x8b, 8, 0, 0]] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
        let mut unknown = raw();
        unknown.samples[0].locations.push(77);
        unknown.samples[0].values.clear();
        assert_eq!(decode(&unknown.encode_to_vec()).unwrap().total(0), 0);
    }
}
