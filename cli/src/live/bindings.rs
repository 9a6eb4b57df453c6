//! Which allocator each loaded object calls: the words that the loader filled in for it, read in the process's memory.
//! They show what names and options cannot: objects that were opened with RTLD_DEEPBIND, linked with `-Bsymbolic`, or
//! that come before the preloaded library.
//!
//! Must not know: what is good or bad about any of it.

use super::object::{bias, has_descriptor};
use super::process::{Mapping, Process};
use anyhow::Result;
use object::elf::{R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT};
use object::{Architecture, Object, ObjectSymbol, ObjectSymbolTable, Relocation, RelocationFlags, RelocationTarget};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Functions that have to be of one allocator.
const FUNCTIONS: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "free"];
/// Objects of a process that are read at most.
const OBJECTS_MAX: usize = 4096;

/// An object that asks for memory.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) object: PathBuf,
    /// Its functions by the allocator that has them. A function that was not called yet may be bound to none.
    pub(crate) allocators: BTreeMap<Allocator, Vec<&'static str>>,
}

/// The owner of an object's `malloc`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Allocator {
    Spandrel,
    /// The object at that path.
    Other(PathBuf),
    /// Memory that is no file's.
    Unknown,
}

/// The objects of a process that call an allocator, by path.
pub(super) fn bindings(process: &Process) -> Result<Vec<Binding>> {
    let mappings = process.mappings()?;
    let mut objects: BTreeMap<&Path, &Mapping> = BTreeMap::new();
    for mapping in mappings.iter().filter(|mapping| mapping.offset == 0) {
        objects.entry(&mapping.path).or_insert(mapping);
    }
    let mut ours = BTreeMap::new();
    let mut found = Vec::new();
    for (path, mapping) in objects.into_iter().take(OBJECTS_MAX) {
        let Ok(file) = process.file(mapping) else { continue };
        let is_ours = has_descriptor(&file);
        ours.insert(path, is_ours);
        let owners = owners(process, &mappings, path, mapping.start, &file);
        if !owners.is_empty() {
            found.push((path, owners));
        }
    }
    let name = |owner: Option<PathBuf>| match owner {
        None => Allocator::Unknown,
        Some(owner) if ours.get(owner.as_path()) == Some(&true) => Allocator::Spandrel,
        Some(owner) => Allocator::Other(owner),
    };
    let of = |(object, owners): (&Path, Vec<(&'static str, Option<PathBuf>)>)| {
        let mut allocators: BTreeMap<Allocator, Vec<&'static str>> = BTreeMap::new();
        for (function, owner) in owners {
            allocators.entry(name(owner)).or_default().push(function);
        }
        Binding { object: object.to_owned(), allocators }
    };
    Ok(found.into_iter().map(of).collect())
}

/// The functions that the object at `path` takes from elsewhere, and the files that they lie in.
fn owners(
    process: &Process,
    mappings: &[Mapping],
    path: &Path,
    start: usize,
    file: &[u8],
) -> Vec<(&'static str, Option<PathBuf>)> {
    let owner = |address: usize| mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&address));
    let mut found = Vec::new();
    for (function, place, own) in slots(file, start).unwrap_or_default() {
        let Ok(address) = process.word(place) else { continue };
        let owner = owner(address).map(|mapping| mapping.path.clone());
        // Before the first call the word leads back into the object, to what looks for the function.
        let is_open = address == 0 || (owner.as_deref() == Some(path) && own != Some(address));
        if !is_open && !found.contains(&(function, owner.clone())) {
            found.push((function, owner));
        }
    }
    found
}

/// The words of an object at `start` by which it calls one of the functions, and where its own function of that name is.
fn slots(file: &[u8], start: usize) -> Option<Vec<(&'static str, usize, Option<usize>)>> {
    let file = object::File::parse(file).ok().filter(|file| file.architecture() == Architecture::X86_64)?;
    let bias = bias(&file, start)?;
    let symbols = file.dynamic_symbol_table()?;
    let slot = |(offset, relocation): (u64, Relocation)| {
        let RelocationFlags::Elf { r_type: R_X86_64_JUMP_SLOT | R_X86_64_GLOB_DAT } = relocation.flags() else {
            return None;
        };
        let RelocationTarget::Symbol(index) = relocation.target() else { return None };
        let symbol = symbols.symbol_by_index(index).ok()?;
        let name = symbol.name().ok()?;
        let function = FUNCTIONS.iter().find(|function| **function == name)?;
        let own = symbol.is_definition().then(|| bias.wrapping_add(symbol.address() as usize));
        Some((*function, bias.wrapping_add(offset as usize), own))
    };
    Some(file.dynamic_relocations()?.filter_map(slot).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spandrel serves what is Rust here; what is C calls libc.
    #[test]
    fn libraries_of_this_program_call_libc() {
        let found = bindings(&Process::open(std::process::id()).unwrap()).unwrap();
        let libc = |allocator: &Allocator| match allocator {
            Allocator::Other(path) => path.to_string_lossy().contains("/libc.so"),
            _ => false,
        };
        assert!(found.iter().all(|binding| binding.allocators.keys().all(libc)), "{found:?}");
        let of_libc = found.iter().find(|binding| binding.object.to_string_lossy().contains("/libc.so")).unwrap();
        assert!(of_libc.allocators.values().flatten().any(|function| *function == "malloc"), "{of_libc:?}");
    }
}
