//! Finds the library's descriptor in a process: by its name in the symbols of a shared object, or of a program linked
//! statically.

use super::limits::REGIONS_RESERVED_MAX;
use super::process::{Mapping, Process};
use anyhow::{Context, Result, bail};
use object::{Object, ObjectSegment, ObjectSymbol};
use spandrel::descriptor::{BANKS, Descriptor, MAGIC, SYMBOL, VERSION, WORDS};
use std::collections::BTreeSet;

/// The descriptor in `process`.
///
/// # Errors
/// Where there is none, or it is one of another version.
pub(super) fn descriptor(process: &Process) -> Result<Descriptor> {
    let mut seen = BTreeSet::new();
    let mut starts: Vec<Mapping> = process
        .mappings()?
        .into_iter()
        .filter(|mapping| mapping.offset == 0 && seen.insert(mapping.path.clone()))
        .collect();
    // Files named after the library come first; then the program itself, which stands before all libraries.
    starts.sort_by_key(|mapping| !mapping.path.to_string_lossy().contains("spandrel"));
    for mapping in &starts {
        if let Some(address) = process.file(mapping).ok().and_then(|file| symbol(&file, mapping.start)) {
            return at(process, address);
        }
    }
    bail!(NotServed(format!(
        "process {} is not served by Spandrel: none of its objects has the symbol {SYMBOL}",
        process.title()
    )))
}

/// The process is no business of this command's.
#[derive(Debug)]
pub(super) struct NotServed(String);

impl std::fmt::Display for NotServed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for NotServed {}

/// Where the symbol of an object is whose first segment is mapped at `start`.
fn symbol(file: &[u8], start: usize) -> Option<usize> {
    let file = object::File::parse(file).ok()?;
    let named = |symbol: &object::Symbol<'_, '_>| symbol.is_definition() && symbol.name() == Ok(SYMBOL);
    let symbol = file.dynamic_symbols().find(named).or_else(|| file.symbols().find(named))?;
    Some(bias(&file, start)?.wrapping_add(symbol.address() as usize))
}

/// Whether the file is an object that has the library's descriptor.
pub(super) fn has_descriptor(file: &[u8]) -> bool {
    symbol(file, 0).is_some()
}

/// The difference between the addresses of an object whose first segment is mapped at `start`, and those in its file.
pub(super) fn bias<'a>(file: &impl Object<'a>, start: usize) -> Option<usize> {
    let lowest = file.segments().map(|segment| segment.address()).min()?;
    let page = lowest & !(segment_align(file) - 1);
    Some(start.wrapping_sub(page as usize))
}

/// To a multiple of this the kernel rounds down where a segment begins.
fn segment_align<'a>(file: &impl Object<'a>) -> u64 {
    const PAGE: u64 = 4096;
    file.segments().map(|segment| segment.align()).min().unwrap_or(PAGE).clamp(1, PAGE)
}

fn at(process: &Process, address: usize) -> Result<Descriptor> {
    let bytes = process.bytes(address, WORDS * size_of::<usize>())?;
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(size_of::<usize>())) {
        *word = usize::from_le_bytes(bytes.try_into().context("a word")?);
    }
    believable(Descriptor::from_words(words)).with_context(|| format!("process {}", process.title()))
}

/// The descriptor, if its layout is this command's own and its numbers can be. Its addresses may still be anything.
pub(super) fn believable(descriptor: Descriptor) -> Result<Descriptor> {
    match (descriptor.magic, descriptor.version, descriptor.bytes) {
        (0, ..) => bail!(NotServed("has allocated nothing by Spandrel yet, or libc serves it".to_owned())),
        (MAGIC, VERSION, bytes) if bytes == size_of::<Descriptor>() && descriptor.is_of_this_build() => {}
        _ => bail!("another version of Spandrel than this command's"),
    }
    let pages = &descriptor.pages;
    let regions = pages.banks.checked_mul(pages.bank_regions);
    if !(1..=BANKS).contains(&pages.banks)
        || pages.bank_regions == 0
        || regions.is_none_or(|all| all > REGIONS_RESERVED_MAX)
    {
        bail!("a descriptor that cannot be: {} banks of {} regions", pages.banks, pages.bank_regions);
    }
    Ok(descriptor)
}
