//! Puts names into a profile: functions, source files and lines of its places, and the identities of the files that the
//! code is from. A profile with names says the same on every machine, and after the program was built anew.
//!
//! Knows: which functions are the allocator's own, which an interpreter's. Must not know: what is shown of a profile.

use super::message::{Function, Line, Location, Profile};
use crate::perf_map::PerfMap;
use crate::symbols::{Frame, Symbols};
use std::collections::{HashMap, HashSet};

/// The allocator's entry points, which a program that is linked with it has among its own functions.
const ENTRIES: [&str; 15] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "valloc",
    "pvalloc",
    "__rust_alloc",
    "__rust_alloc_zeroed",
    "__rust_realloc",
    "alloc::alloc::alloc",
    "alloc::alloc::alloc_zeroed",
    "alloc::alloc::realloc",
];
/// Beginnings of other names of the allocator's, and of what leads from Rust's collections to it.
const BEGINNINGS: [&str; 9] = [
    "spandrel::",
    "<spandrel::",
    "spandrel_",
    "operator new",
    "__rustc::__rust_",
    "__rustc[",
    "__rg_",
    "alloc::alloc::Global",
    "<alloc::alloc::Global as ",
];
/// Functions that may stand between two of the allocator's.
const BETWEEN: [&str; 2] = ["core::", "<core::"];

/// Whether a function of that name is the allocator's.
fn is_own(name: &str) -> bool {
    ENTRIES.contains(&name) || BEGINNINGS.iter().any(|start| name.starts_with(start))
}

/// How many of the first names of a place, the innermost first, are the allocator's, and whether these are all.
/// Functions that are inlined into one of its own are its own, too.
fn own_part(names: &[&str]) -> (usize, bool) {
    if names.last().is_some_and(|outermost| is_own(outermost)) {
        return (names.len(), true);
    }
    let mut own = 0;
    for (index, name) in names.iter().enumerate() {
        if is_own(name) {
            own = index + 1;
        } else if !BETWEEN.iter().any(|start| name.starts_with(start)) {
            return (own, false);
        }
    }
    (own, true)
}

/// The names of code that was made at run time, and what is done with them.
#[derive(Debug, Default)]
pub(crate) struct AtRunTime {
    pub(crate) map: PerfMap,
    /// Whether stacks with functions of Python keep the interpreter's own between them.
    pub(crate) native: bool,
}

/// Names every place of the profile that has no name yet, by the symbols of files and the names of code that was made
/// at run time; takes the allocator's own functions off the inner ends of its stacks, and the interpreter's out of those
/// with functions of Python.
pub(super) fn complete(profile: &mut Profile, symbols: &mut Symbols, at_run_time: &AtRunTime) {
    let map = &at_run_time.map;
    let mut names = Names::new(profile);
    let mappings: HashMap<u64, usize> =
        profile.mappings.iter().enumerate().map(|(index, mapping)| (mapping.id, index)).collect();
    let mut python = HashSet::new();
    let mut locations = std::mem::take(&mut profile.locations);
    for location in locations.iter_mut().filter(|location| location.lines.is_empty()) {
        let mapping = mappings.get(&location.mapping).map(|&index| &mut profile.mappings[index]);
        let file = mapping.as_ref().map_or("", |mapping| names.texts[mapping.file as usize].as_str()).to_owned();
        let frames = match (&mapping, map.frame(location.address)) {
            // Code that was made at run time may lie in memory that has a name.
            (Some(mapping), named) if is_file(&file) || (named.is_none() && !file.is_empty()) => {
                symbols.frames(&file, location.address.wrapping_sub(mapping.start).wrapping_add(mapping.offset))
            }
            (_, Some(frame)) => {
                if map.is_python(location.address) {
                    python.insert(location.id);
                }
                vec![frame]
            }
            _ => vec![Frame { name: format!("{:#x}", location.address), object: String::new(), place: None }],
        };
        location.lines = frames.into_iter().map(|frame| names.line(frame)).collect();
        if let Some(mapping) = mapping.filter(|mapping| !mapping.named) {
            mapping.named = true;
            mapping.build = names.text(symbols.build(&file));
        }
    }
    (profile.locations, profile.functions, profile.texts) = (locations, names.functions, names.texts);
    trim(profile);
    if !at_run_time.native {
        leave_out_interpreter(profile, &python);
    }
}

/// Whether a mapping of that name is one of a file, not of memory that a program gave a name.
fn is_file(name: &str) -> bool {
    name.starts_with('/') && !name.starts_with("/memfd:")
}

/// Takes the interpreter's functions off the stacks from the outermost function of Python on: what is left is the
/// program as it is written, and the libraries that it calls.
fn leave_out_interpreter(profile: &mut Profile, python: &HashSet<u64>) {
    let files: HashMap<u64, i64> = profile.mappings.iter().map(|mapping| (mapping.id, mapping.file)).collect();
    let file = |location: &Location| files.get(&location.mapping).copied().unwrap_or(0);
    let files: HashMap<u64, i64> = profile.locations.iter().map(|location| (location.id, file(location))).collect();
    let file = |id: &u64| files.get(id).copied().unwrap_or(0);
    for sample in &mut profile.samples {
        let Some(outermost) = sample.locations.iter().rposition(|id| python.contains(id)) else { continue };
        // A function of Python is a call of the interpreter's evaluation.
        let callees = sample.locations.windows(2).filter(|pair| python.contains(&pair[1]));
        let interpreter = callees.map(|pair| file(&pair[0])).find(|&file| file != 0);
        let mut depth = 0;
        sample.locations.retain(|id| {
            depth += 1;
            depth > outermost || python.contains(id) || interpreter.is_none_or(|interpreter| file(id) != interpreter)
        });
    }
}

/// Takes the allocator's own functions off the stacks.
fn trim(profile: &mut Profile) {
    let functions: HashMap<u64, &str> =
        profile.functions.iter().map(|function| (function.id, profile.text(function.name))).collect();
    let name = |line: &Line| functions.get(&line.function).copied().unwrap_or_default();
    let parts: HashMap<u64, (usize, bool)> = profile
        .locations
        .iter()
        .map(|location| (location.id, own_part(&location.lines.iter().map(name).collect::<Vec<_>>())))
        .collect();
    let mut inner: HashMap<u64, usize> = HashMap::new();
    for sample in &mut profile.samples {
        let part = |id: &u64| parts.get(id).copied().unwrap_or_default();
        let leading = sample.locations.iter().take_while(|id| part(id).1);
        let cut = leading.enumerate().filter(|(_, id)| part(id).0 > 0).map(|(index, _)| index + 1).last().unwrap_or(0);
        // A stack of nothing but the allocator's has no better name.
        if cut < sample.locations.len() {
            sample.locations.drain(..cut);
            if let Some(first) = sample.locations.first().filter(|id| !part(id).1) {
                inner.insert(*first, part(first).0);
            }
        }
    }
    for location in &mut profile.locations {
        location.lines.drain(..inner.get(&location.id).copied().unwrap_or(0));
    }
}

/// The texts and functions of a profile, each once.
struct Names {
    texts: Vec<String>,
    numbers: HashMap<String, i64>,
    functions: Vec<Function>,
    ids: HashMap<(i64, i64), u64>,
    /// The highest number of a function.
    last: u64,
}

impl Names {
    /// Takes those of `profile`.
    fn new(profile: &mut Profile) -> Self {
        let (mut texts, functions) = (std::mem::take(&mut profile.texts), std::mem::take(&mut profile.functions));
        // Numbers that are out of range mean the empty text.
        let most = texts.len() as i64;
        let sound = |number: i64| if (0..most).contains(&number) { number } else { 0 };
        profile.mappings.iter_mut().for_each(|mapping| mapping.file = sound(mapping.file));
        if texts.is_empty() {
            texts.push(String::new());
        }
        let numbers = texts.iter().enumerate().map(|(number, text)| (text.clone(), number as i64)).collect();
        let ids = functions.iter().map(|function| ((function.name, function.file), function.id)).collect();
        let last = functions.iter().map(|function| function.id).max().unwrap_or(0);
        Self { texts, numbers, functions, ids, last }
    }

    fn text(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as i64;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn line(&mut self, frame: Frame) -> Line {
        let place = frame.place.as_deref().unwrap_or_default();
        let line = place.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
        let (file, line) = line.unwrap_or((place, 0));
        let key = (self.text(&frame.name), self.text(file));
        let functions = &mut self.functions;
        let function = *self.ids.entry(key).or_insert_with(|| {
            self.last += 1;
            functions.push(Function { id: self.last, name: key.0, file: key.1 });
            self.last
        });
        Line { function, line }
    }
}

/// The functions of a location, the innermost first.
pub(super) fn frames(profile: &Profile, location: &Location, functions: &HashMap<u64, Function>) -> Vec<Frame> {
    let mapping = profile.mappings.iter().find(|mapping| mapping.id == location.mapping);
    let path = mapping.map_or("", |mapping| profile.text(mapping.file));
    let frame = |line: &Line| {
        let function = functions.get(&line.function)?;
        let file = profile.text(function.file);
        let place = match line.line {
            0 => file.to_owned(),
            number => format!("{file}:{number}"),
        };
        // Code that was made at run time is of the file that it was made from.
        let object = match path.rsplit('/').next() {
            Some(name) if !name.is_empty() && (is_file(path) || file.is_empty()) => name,
            _ => file.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("(no file)"),
        };
        let place = (!file.is_empty()).then_some(place);
        Some(Frame { name: profile.text(function.name).to_owned(), object: object.to_owned(), place })
    };
    location.lines.iter().filter_map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::super::message::{Mapping, Sample};
    use super::*;

    #[test]
    fn the_allocators_own_functions_are_told_from_the_programs() {
        let part = |names: &[&str]| own_part(names);
        assert_eq!(part(&["spandrel::profile::sampling::note", "core::option::map", "malloc", "main"]), (3, false));
        assert_eq!(part(&["<spandrel::Spandrel as core::alloc::GlobalAlloc>::alloc", "__rust_alloc"]), (2, true));
        assert_eq!(part(&["core::fmt::write", "main"]), (0, false));
        assert_eq!(part(&["mallocate", "malloc"]), (2, true));
        assert_eq!(part(&["malloc", "mallocate"]), (1, false));
        assert_eq!(part(&["operator new(unsigned long)"]), (1, true));
    }

    /// A sample of value 1 for each stack of locations.
    fn samples(stacks: &[&[u64]]) -> Vec<Sample> {
        let sample = |stack: &&[u64]| Sample { locations: stack.to_vec(), values: vec![1], labels: Vec::new() };
        stacks.iter().map(sample).collect()
    }

    /// The stacks that are left.
    fn stacks(profile: &Profile) -> Vec<Vec<u64>> {
        profile.samples.iter().map(|sample| sample.locations.clone()).collect()
    }

    /// Places 1 and 2 are in the interpreter, 3 in a library, 4 and 5 are functions of Python.
    #[test]
    fn the_interpreter_is_left_out_from_the_outermost_function_of_python_on() {
        let mapping = |id, file| Mapping { id, file, ..Default::default() };
        let location = |id, mapping| Location { id, mapping, address: id, lines: Vec::new() };
        let mut profile = Profile {
            texts: ["", "/usr/bin/python3", "/usr/lib/numpy.so"].map(str::to_owned).to_vec(),
            // Two mappings of one file.
            mappings: vec![mapping(1, 1), mapping(2, 1), mapping(3, 2)],
            locations: vec![location(1, 1), location(2, 2), location(3, 3), location(4, 0), location(5, 0)],
            samples: samples(&[&[2, 1, 4, 1, 2, 5, 1, 2], &[3, 2, 1, 4, 2, 3, 1, 5, 2], &[3, 2], &[4, 2]]),
            ..Profile::default()
        };
        leave_out_interpreter(&mut profile, &HashSet::from([4, 5]));
        assert_eq!(stacks(&profile), [vec![4, 5, 1, 2], vec![3, 4, 3, 5, 2], vec![3, 2], vec![4, 2]]);
    }

    #[test]
    fn stacks_lose_the_allocators_end_and_no_more() {
        let texts = ["", "malloc", "spandrel::x", "main", "inlined"];
        let function = |id: u64| Function { id, name: id as i64, file: 0 };
        let lines = |ids: &[u64]| ids.iter().map(|&function| Line { function, line: 0 }).collect::<Vec<_>>();
        let location = |id, ids: &[u64]| Location { id, mapping: 0, address: id, lines: lines(ids) };
        let mut profile = Profile {
            texts: texts.map(str::to_owned).to_vec(),
            functions: (1..=4).map(function).collect(),
            locations: vec![location(1, &[2]), location(2, &[2, 1]), location(3, &[1, 4, 3]), location(4, &[3])],
            samples: samples(&[&[1, 2, 3, 4], &[1, 2], &[4, 1]]),
            ..Profile::default()
        };
        trim(&mut profile);
        assert_eq!(stacks(&profile), [vec![3, 4], vec![1, 2], vec![4, 1]]);
        assert_eq!(profile.locations[2].lines, lines(&[4, 3]));
    }
}
