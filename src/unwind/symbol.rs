#![expect(unsafe_code, reason = "reads the loader's description of an object")]
//! Names of addresses of code: the object, and the function among those that it exports. Names for debuggers alone are
//! left to tools. Takes no lock. Must not know what calls are at the addresses.

use core::ffi::{CStr, c_char};

use super::{jump, object};
use crate::base::text::Line;
use crate::sys::startup::Startup;

/// The public part of glibc's `struct link_map`.
#[repr(C)]
struct LinkMap {
    bias: usize,
    name: *const c_char,
    dynamic: *const Entry,
}

/// An entry of a dynamic section.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    tag: usize,
    value: usize,
}

const END: usize = 0;
const STRINGS: usize = 5;
const SYMBOLS: usize = 6;
const GNU_HASH: usize = 0x6fff_fef5;

/// Adds to `line` the place of the call that returns to `address`: `OBJECT+OFFSET`, and `(SYMBOL+OFFSET)` if the object
/// exports one. Offsets are those of the last byte of the call instruction, as tools such as addr2line need them.
pub(crate) fn describe(address: usize, line: &mut Line) {
    let call = address.wrapping_sub(1);
    let Some(map) = object::link_map(call) else {
        // A program linked statically has no such description.
        if let Some(bias) = object::own_bias(call) {
            line.raw(program()).text("+").address(call.wrapping_sub(bias));
        } else {
            line.address(call);
        }
        return;
    };
    // SAFETY: the loader's description of an object; it lives while the object, whose code is on a stack, is loaded.
    let map = unsafe { &*core::ptr::with_exposed_provenance::<LinkMap>(map) };
    let offset = call.wrapping_sub(map.bias);
    line.raw(name_of(map)).text("+").address(offset);
    if let Some((name, distance)) = Exports::of(map).and_then(|exports| exports.nearest(offset)) {
        line.text(" (").raw(name.to_bytes()).text("+").address(distance).text(")");
    }
}

/// The path of the object that the call before `address` lies in; empty if that is none.
pub(crate) fn object_of(address: usize) -> &'static [u8] {
    map_of(address.wrapping_sub(1)).map_or(&[], name_of)
}

/// Whether the object of the call before `address` exports the function around it by a name that `is` accepts.
pub(crate) fn is_in_function(address: usize, is: impl Fn(&[u8]) -> bool) -> bool {
    any_name(address.wrapping_sub(1), false, is) == Some(true)
}

/// Whether the call before `address` names a function that its object exports by a name that `is` accepts.
pub(crate) fn calls_function(address: usize, is: impl Fn(&[u8]) -> bool) -> bool {
    jump::called(address, &|function| any_name(function, true, &is)).is_some_and(|found| found.what)
}

/// Whether `is` accepts one of the names of the exported function around `address`, or of that which starts there;
/// `None` if there is none.
fn any_name(address: usize, starts: bool, is: impl Fn(&[u8]) -> bool) -> Option<bool> {
    let map = map_of(address)?;
    let exports = Exports::of(map)?;
    let mut names = exports.around(address.wrapping_sub(map.bias)).filter(|&(_, distance)| !starts || distance == 0);
    let (first, _) = names.next()?;
    Some(is(first.to_bytes()) || names.any(|(name, _)| is(name.to_bytes())))
}

fn map_of(address: usize) -> Option<&'static LinkMap> {
    let map = object::link_map(address)?;
    // SAFETY: as in `describe`.
    Some(unsafe { &*core::ptr::with_exposed_provenance::<LinkMap>(map) })
}

/// The path of an object. The loader has none of the program itself, but the kernel has.
fn name_of(map: &LinkMap) -> &'static [u8] {
    // SAFETY: the loader names objects by C strings.
    let name = if map.name.is_null() { c"" } else { unsafe { CStr::from_ptr(map.name) } };
    if !name.is_empty() {
        return name.to_bytes();
    }
    program()
}

fn program() -> &'static [u8] {
    Startup::find().and_then(Startup::program_path).map_or(b"program", CStr::to_bytes)
}

/// The names that an object exports.
struct Exports {
    symbols: *const libc::Elf64_Sym,
    count: usize,
    strings: *const c_char,
}

impl Exports {
    fn of(map: &LinkMap) -> Option<Self> {
        // A program linked statically has no dynamic section.
        if map.dynamic.is_null() {
            return None;
        }
        let (mut symbols, mut strings, mut hash) = (0, 0, 0);
        let mut next = map.dynamic;
        loop {
            // SAFETY: the section ends with an entry of tag 0, at which this loop ends.
            let Entry { tag, value } = unsafe { next.read() };
            // The loader has added the bias to addresses, except in the object that the kernel maps (the vDSO).
            let address = if value < map.bias { value.wrapping_add(map.bias) } else { value };
            match tag {
                END => break,
                STRINGS => strings = address,
                SYMBOLS => symbols = address,
                GNU_HASH => hash = address,
                _ => {}
            }
            next = next.wrapping_add(1);
        }
        let count = (symbols != 0 && strings != 0 && hash != 0).then(|| count_of(hash))?;
        let symbols = core::ptr::with_exposed_provenance(symbols);
        Some(Self { symbols, count, strings: core::ptr::with_exposed_provenance(strings) })
    }

    /// The function that `offset` lies in, and its distance from the function's start.
    fn nearest(&self, offset: usize) -> Option<(&'static CStr, usize)> {
        self.around(offset).next()
    }

    /// As [`Exports::nearest`], with each name of the function.
    fn around(&self, offset: usize) -> impl Iterator<Item = (&'static CStr, usize)> {
        // SAFETY: `count` is the number of symbols by the hash table, which covers the table's end.
        let symbols: &'static [libc::Elf64_Sym] = unsafe { core::slice::from_raw_parts(self.symbols, self.count) };
        let strings = self.strings;
        let around = symbols.iter().filter(move |symbol| {
            let start = symbol.st_value as usize;
            symbol.st_shndx != 0 && (start..start.saturating_add(symbol.st_size as usize)).contains(&offset)
        });
        around.map(move |symbol| {
            let name = strings.wrapping_add(symbol.st_name as usize);
            // SAFETY: the linker put a C string at that offset of the table of strings.
            (unsafe { CStr::from_ptr(name) }, offset - symbol.st_value as usize)
        })
    }
}

/// The number of symbols by the GNU hash table at `hash`: one more than the last of the last chain.
fn count_of(hash: usize) -> usize {
    const HEADER: usize = 4;
    let words = core::ptr::with_exposed_provenance::<u32>(hash);
    // SAFETY: the table begins with four words.
    let [buckets, first, filter, _] = unsafe { words.cast::<[u32; HEADER]>().read() };
    let start = words.wrapping_add(HEADER + filter as usize * 2);
    // SAFETY: the header counts the filter's double words and the buckets that follow them.
    let heads = unsafe { core::slice::from_raw_parts(start, buckets as usize) };
    let Some(&last) = heads.iter().max().filter(|&&last| last >= first) else { return 0 };
    let chains = start.wrapping_add(buckets as usize);
    let mut at = last;
    loop {
        // SAFETY: a chain ends with a word whose lowest bit is set, at which this loop ends.
        let word = unsafe { chains.wrapping_add((at - first) as usize).read() };
        at += 1;
        if word & 1 != 0 {
            return at as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(address: usize) -> String {
        let mut line = Line::new();
        describe(address, &mut line);
        String::from_utf8_lossy(line.finish()).into_owned()
    }

    #[test]
    fn an_exported_function_is_named_with_its_object() {
        let here = described(libc::getpid as *const () as usize + 2);
        assert!(here.contains("libc.so.6+0x") && here.contains("getpid+0x1)"), "{here}");
    }

    #[test]
    fn the_program_and_what_is_nowhere_are_told_apart() {
        let own = described(the_program_and_what_is_nowhere_are_told_apart as fn() as usize + 1);
        assert!(own.starts_with('/') && own.contains("+0x"), "{own}");
        assert_eq!(described(17), "0x10\n");
    }
}
