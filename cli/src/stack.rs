//! Lines of call stacks as the library prints them, with what debug information adds: functions that have no exported
//! name, source files and lines, and functions that were inlined.
//!
//! Knows: how such a line reads. Must not know: where lines come from.

use crate::symbols::{Frame, Symbols};
use serde_json::{Value, json};

/// Before every line of the library's.
const NAME: &str = "spandrel:";
/// Before the object of a frame.
const INDENT: &str = "   ";

/// A place in the code: `OBJECT+0xADDRESS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place<'a> {
    object: &'a str,
    address: u64,
}

impl<'a> Place<'a> {
    /// From text that is a place as a whole.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (object, address) = text.rsplit_once("+0x")?;
        let address = u64::from_str_radix(address, 16).ok()?;
        (!object.is_empty()).then_some(Self { object, address })
    }

    /// That of a line, if it is a frame.
    pub(crate) fn of_line(line: &'a str) -> Option<Self> {
        parse(line).map(|(_, place, _)| place)
    }

    /// The place and the functions there, the innermost first, as a value.
    pub(crate) fn value(&self, symbols: &mut Symbols) -> Value {
        let functions = symbols.frames_at(self.object, self.address);
        let functions = functions.iter().map(|frame| json!({ "function": frame.name, "source": frame.place }));
        let functions: Value = functions.collect();
        json!({ "object": self.object, "address": format!("{:#x}", self.address), "functions": functions })
    }

    /// The functions there by debug information: `what at FILE:LINE`, then a line for each function that it is inlined into.
    /// `known` is the name that is known already.
    pub(crate) fn describe(&self, symbols: &mut Symbols, known: Option<&str>) -> Vec<String> {
        let frames = symbols.frames_at(self.object, self.address);
        let said = |frame: &Frame| match &frame.place {
            Some(place) => format!("{} at {place}", frame.name),
            None => frame.name.clone(),
        };
        match frames.as_slice() {
            [only] if only.place.is_none() && known == Some(only.name.as_str()) => Vec::new(),
            frames => frames.iter().map(said).collect(),
        }
    }
}

/// The line with what debug information adds, of as many lines as there are functions at its place; without a line
/// feed at the end. Lines that are no frames stay as they are.
pub(crate) fn symbolized(symbols: &mut Symbols, line: &str) -> String {
    let Some((before, place, known)) = parse(line) else { return line.to_owned() };
    let mut text = line.to_owned();
    for (depth, what) in place.describe(symbols, known).into_iter().enumerate() {
        text += &if depth == 0 { format!(": {what}") } else { format!("\n{before}{INDENT}inlined into {what}") };
    }
    text
}

/// The text before the place of a frame, the place, and the exported name behind it.
fn parse(line: &str) -> Option<(&str, Place<'_>, Option<&str>)> {
    let rest = line.strip_prefix(NAME)?;
    let indent = rest.find(INDENT)?;
    // A mode's lines have its name: `spandrel: tracked:    OBJECT+0x10`.
    let mode = rest[..indent].trim_start_matches(' ').trim_end_matches(':');
    let (before, frame) = line.split_at(NAME.len() + indent + rest[indent..].len() - rest[indent..].trim_start().len());
    if !mode.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let (place, known) = match frame.strip_suffix(')').and_then(|frame| frame.rsplit_once(" (")) {
        Some((place, known)) => (place, known.rsplit_once("+0x").map(|(name, _)| name)),
        None => (frame, None),
    };
    Some((before, Place::parse(place)?, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_from_other_lines() {
        let place = |object, address| Place { object, address };
        for (line, expected) in [
            ("spandrel:    /bin/x+0x1f", ("spandrel:    ", place("/bin/x", 0x1f), None)),
            ("spandrel:    a b+0x1 (f+0x2)", ("spandrel:    ", place("a b", 1), Some("f"))),
            ("spandrel: tracked:    /x+0x10 (g+0x0)", ("spandrel: tracked:    ", place("/x", 0x10), Some("g"))),
        ] {
            assert_eq!(parse(line), Some(expected), "{line}");
        }
        for line in [
            "",
            "x",
            "spandrel:    0x1234",
            "spandrel: ALLOCATOR_DOUBLE_FREE: free(0x10): the block   is free+0x10",
            "spandrel: tracked: #1 10 bytes",
            "   /bin/x+0x1f",
        ] {
            assert_eq!(parse(line), None, "{line}");
            assert_eq!(symbolized(&mut Symbols::default(), line), line);
        }
    }

    #[test]
    fn what_nothing_is_known_of_stays_as_it_is() {
        let line = "spandrel:    /no/such/file+0x10 (f+0x2)";
        assert_eq!(symbolized(&mut Symbols::default(), line), line);
    }
}
