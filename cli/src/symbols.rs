//! Names for addresses: functions and lines from debug information, or from symbols, of the files that a process had
//! mapped.
//!
//! Must not know: what the addresses are for.

use addr2line::{Context, demangle_auto};
use flate2::read::ZlibDecoder;
use gimli::{BaseAddresses, CieOrFde, Dwarf, EhFrame, EndianRcSlice, LittleEndian, UnwindSection};
use object::{CompressionFormat, Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

/// Debug information in memory.
type Bytes = EndianRcSlice<LittleEndian>;

/// A function on a stack.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Frame {
    /// Its name, or the file and an offset in it where that has none.
    pub(crate) name: String,
    /// The name of the file that its code is in, without folders.
    pub(crate) object: String,
    /// Source file and line, where they are known.
    pub(crate) place: Option<String>,
}

/// The symbols and the lines of one file.
struct File {
    name: String,
    /// Offset in the file, length, and address of each loaded part.
    parts: Vec<(u64, u64, u64)>,
    /// Start, end and name of each function, by start.
    functions: Vec<(u64, u64, String)>,
    /// Start and end of each function that has a frame, by start: where symbols were stripped off, what is left of
    /// them.
    bodies: Vec<(u64, u64)>,
    /// The file's debug information, if it has any.
    lines: Option<Context<Bytes>>,
    /// The identity that its linker gave it, in hexadecimal digits.
    build: String,
}

/// Reads the bytes of the file at a path.
type Reader = dyn Fn(&str) -> Option<Vec<u8>>;

/// All files asked about so far, by path.
pub(crate) struct Symbols {
    files: HashMap<String, File>,
    read: Box<Reader>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self::of_files(|path| fs::read(path).ok())
    }
}

impl Symbols {
    /// Of files that `read` has the bytes of.
    pub(crate) fn of_files(read: impl Fn(&str) -> Option<Vec<u8>> + 'static) -> Self {
        Self { files: HashMap::new(), read: Box::new(read) }
    }

    /// The functions at `offset` in the file at `path`, the innermost first: several where some were inlined.
    pub(crate) fn frames(&mut self, path: &str, offset: u64) -> Vec<Frame> {
        self.file(path).frames(offset)
    }

    /// As [`Symbols::frames`], for an address as the file itself counts them; empty where nothing names a function.
    pub(crate) fn frames_at(&mut self, path: &str, address: u64) -> Vec<Frame> {
        self.file(path).frames_at(address)
    }

    /// The identity that the linker of the file gave it, in hexadecimal digits; empty where it has none.
    pub(crate) fn build(&mut self, path: &str) -> &str {
        &self.file(path).build
    }

    fn file(&mut self, path: &str) -> &File {
        self.files.entry(path.to_owned()).or_insert_with(|| File::open(path, (self.read)(path)))
    }
}

impl File {
    /// The file at `path`, which has these bytes.
    fn open(path: &str, data: Option<Vec<u8>>) -> Self {
        let name =
            Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned());
        let mut file = Self {
            name,
            parts: Vec::new(),
            functions: Vec::new(),
            bodies: Vec::new(),
            lines: None,
            build: String::new(),
        };
        // A file that is gone, or is none, leaves addresses without names.
        let Some(data) = data.map(Rc::<[u8]>::from) else { return file };
        let Ok(object) = object::File::parse(&*data) else { return file };
        let build = object.build_id().ok().flatten().unwrap_or_default();
        file.build = build.iter().map(|byte| format!("{byte:02x}")).collect();
        file.parts = object
            .segments()
            .map(|segment| {
                let (offset, len) = segment.file_range();
                (offset, len, segment.address())
            })
            .collect();
        file.functions = object
            .symbols()
            .chain(object.dynamic_symbols())
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition() && symbol.size() > 0)
            .filter_map(|symbol| {
                Some((symbol.address(), symbol.address() + symbol.size(), symbol.name().ok()?.to_owned()))
            })
            .collect();
        file.functions.sort();
        file.functions.dedup_by_key(|(start, ..)| *start);
        file.bodies = bodies(&object);
        if object.section_by_name(".debug_info").is_some() {
            let section = |name: &str| object.section_by_name(name).and_then(|section| contents(&data, &section));
            let empty = || Bytes::new(Rc::from([]), LittleEndian);
            let dwarf = Dwarf::load(|id| Ok::<_, ()>(section(id.name()).unwrap_or_else(empty)));
            file.lines = dwarf.ok().and_then(|dwarf| Context::from_dwarf(dwarf).ok());
        }
        file
    }

    fn frames(&self, offset: u64) -> Vec<Frame> {
        let part = self.parts.iter().find(|(start, len, _)| (*start..start + len).contains(&offset));
        let address = part.map(|(start, _, address)| offset - start + address);
        let frames = address.map(|address| self.frames_at(address)).unwrap_or_default();
        if !frames.is_empty() {
            return frames;
        }
        let start = address.map_or(offset, |address| self.body(address));
        vec![self.frame(format!("{}+{start:#x}", self.name), None)]
    }

    fn frames_at(&self, address: u64) -> Vec<Frame> {
        let frames = self.inlined(address);
        if !frames.is_empty() {
            return frames;
        }
        self.function(address).map(|name| self.frame(name, None)).into_iter().collect()
    }

    /// The frames that the debug information has, where it names a function.
    fn inlined(&self, address: u64) -> Vec<Frame> {
        let mut found = Vec::new();
        let Some(Ok(mut frames)) = self.lines.as_ref().map(|lines| lines.find_frames(address).skip_all_loads()) else {
            return found;
        };
        while let Ok(Some(frame)) = frames.next() {
            let Some(name) = frame.function.as_ref().and_then(|function| function.demangle().ok().map(Cow::into_owned))
            else {
                return Vec::new();
            };
            let place = frame.location.and_then(|place| Some(format!("{}:{}", place.file?, place.line?)));
            found.push(self.frame(name, place));
        }
        // Debug information of lines alone has the last part of a name; the symbol has all of it.
        if let (Some(outermost), Some(whole)) = (found.last_mut(), self.function(address)) {
            let last = outermost.name.split('<').next().unwrap_or_default();
            if !last.is_empty() && !last.contains("::") && whole.contains(&format!("::{last}")) {
                outermost.name = whole;
            }
        }
        found
    }

    fn function(&self, address: u64) -> Option<String> {
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        let (_, end, name) = self.functions.get(after.checked_sub(1)?)?;
        (address < *end).then(|| demangle_auto(Cow::from(name.as_str()), None).into_owned())
    }

    /// Where the function starts that `address` lies in; `address` itself where that is not known.
    fn body(&self, address: u64) -> u64 {
        let after = self.bodies.partition_point(|(start, _)| *start <= address);
        let body = after.checked_sub(1).and_then(|last| self.bodies.get(last));
        body.filter(|(_, end)| address < *end).map_or(address, |(start, _)| *start)
    }

    fn frame(&self, name: String, place: Option<String>) -> Frame {
        Frame { name, object: self.name.clone(), place }
    }
}

/// The bytes of a section of the file that `data` is. One in a form that is not known is as good as absent.
fn contents<'a>(data: &Rc<[u8]>, section: &impl ObjectSection<'a>) -> Option<Bytes> {
    let packed = section.compressed_data().ok()?;
    match packed.format {
        CompressionFormat::None => {
            let (start, len) = section.file_range()?;
            let whole = Bytes::new(Rc::clone(data), LittleEndian);
            Some(whole.range(usize::try_from(start).ok()?..usize::try_from(start.checked_add(len)?).ok()?))
        }
        CompressionFormat::Zlib => {
            let mut bytes = Vec::new();
            ZlibDecoder::new(packed.data).take(packed.uncompressed_size).read_to_end(&mut bytes).ok()?;
            Some(Bytes::new(bytes.into(), LittleEndian))
        }
        _ => None,
    }
}

/// The functions that the table of frames describes, by start.
fn bodies(object: &object::File<'_>) -> Vec<(u64, u64)> {
    let Some(section) = object.section_by_name(".eh_frame") else { return Vec::new() };
    let Ok(data) = section.data() else { return Vec::new() };
    let table = EhFrame::new(data, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(section.address());
    let mut entries = table.entries(&bases);
    let mut bodies = Vec::new();
    while let Ok(Some(entry)) = entries.next() {
        if let CieOrFde::Fde(partial) = entry
            && let Ok(entry) = partial.parse(EhFrame::cie_from_offset)
        {
            bodies.push((entry.initial_address(), entry.initial_address() + entry.len()));
        }
    }
    bodies.sort_unstable();
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_file_has_a_place_in_it() {
        let frames = Symbols::default().frames("/no/such/file.so", 0x40);
        assert_eq!((frames[0].name.as_str(), frames[0].object.as_str()), ("file.so+0x40", "file.so"));
    }

    #[test]
    fn addresses_within_a_function_lead_to_its_start() {
        let own = std::env::current_exe().unwrap();
        let file = File::open(own.to_str().unwrap(), fs::read(&own).ok());
        let (start, end) = file.bodies[file.bodies.len() / 2];
        assert_eq!((file.body(start), file.body(end - 1), file.body(1)), (start, start, 1));
    }

    #[test]
    fn functions_of_this_program_have_names_and_lines() {
        let own = std::env::current_exe().unwrap();
        let path = own.to_str().unwrap();
        let file = File::open(path, fs::read(path).ok());
        let (start, ..) = file.functions.iter().find(|(.., name)| name.contains("functions_of_this_program")).unwrap();
        let (offset, _, address) = file.parts.iter().find(|(_, len, at)| (*at..at + len).contains(start)).unwrap();
        let frames = Symbols::default().frames(path, start - address + offset);
        let outermost = frames.last().unwrap();
        assert!(outermost.name.contains("functions_of_this_program"), "{outermost:?}");
        assert!(outermost.place.as_ref().unwrap().contains("symbols.rs:"), "{outermost:?}");
    }
}
