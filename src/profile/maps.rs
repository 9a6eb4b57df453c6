//! The process's executable mappings, from `/proc/self/maps`. Knows the format of a line; must not know what the code
//! does.

use core::ffi::CStr;

use crate::sys::file::Lines;
use crate::sys::mapping::zeroed;

/// Room for names.
pub(super) const NAME_BYTES: usize = 128 << 10;

/// An executable mapping.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where it begins in its file.
    pub(super) offset: usize,
    /// Where its name begins and ends in the names of all.
    name: (u32, u32),
}

zeroed!(Map { start, end, offset, name });

const MAPS: &CStr = c"/proc/self/maps";

/// The mappings, by address, and their names.
pub(super) struct Maps<'a> {
    maps: &'a mut [Map],
    count: usize,
    names: &'a mut [u8],
    used: usize,
}

impl<'a> Maps<'a> {
    /// Reads them, as far as `maps` and `names` have room, by way of `buffer`.
    pub(super) fn read(maps: &'a mut [Map], names: &'a mut [u8], buffer: &mut [u8]) -> Self {
        let mut found = Self { maps, count: 0, names, used: 0 };
        if let Some(mut lines) = Lines::open(MAPS, buffer) {
            while let Some(line) = lines.next() {
                found.add(line);
            }
        }
        found
    }

    /// The mappings in order of address; their numbers count from 1.
    pub(super) fn all(&self) -> &[Map] {
        self.maps.get(..self.count).unwrap_or(&[])
    }

    /// The path of the mapped file; a word in brackets where no file is mapped.
    pub(super) fn name(&self, map: &Map) -> &[u8] {
        self.names.get(map.name.0 as usize..map.name.1 as usize).unwrap_or(&[])
    }

    /// The number of the mapping that `address` lies in; 0 for none.
    pub(super) fn number(&self, address: usize) -> usize {
        let after = self.all().partition_point(|map| map.start <= address);
        let inside = after.checked_sub(1).and_then(|last| self.all().get(last)).is_some_and(|map| address < map.end);
        if inside { after } else { 0 }
    }

    fn add(&mut self, line: &[u8]) -> Option<()> {
        let (mut map, name) = parse(line)?;
        let (start, end) = (self.used, self.used + name.len());
        self.names.get_mut(start..end)?.copy_from_slice(name);
        map.name = (start as u32, end as u32);
        *self.maps.get_mut(self.count)? = map;
        self.used = end;
        self.count += 1;
        Some(())
    }
}

/// A line `start-end rwxp offset device inode   name`: the mapping and its name, if it is executable.
fn parse(line: &[u8]) -> Option<(Map, &[u8])> {
    let (range, rest) = word(line)?;
    let (access, rest) = word(rest)?;
    let (offset, rest) = word(rest)?;
    let (_device, rest) = word(rest)?;
    let (_inode, rest) = word(rest)?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let (start, end) = range.split_at_checked(dash)?;
    let (start, end, offset) = (hexadecimal(start)?, hexadecimal(end.get(1..)?)?, hexadecimal(offset)?);
    let map = Map { start, end, offset, name: (0, 0) };
    (access.get(2) == Some(&b'x')).then(|| (map, rest.trim_ascii()))
}

/// The first word, and the rest.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    (!word.is_empty()).then_some((word, rest))
}

fn hexadecimal(text: &[u8]) -> Option<usize> {
    text.iter().try_fold(0_usize, |sum, &byte| {
        let digit = (byte as char).to_digit(16)?;
        sum.checked_mul(16)?.checked_add(digit as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let line = b"7f1234560000-7f12345a0000 r-xp 00028000 fe:01 1234       /usr/lib/a file (deleted)";
        let (map, name) = parse(line).unwrap();
        assert_eq!((map.start, map.end, map.offset), (0x7f12_3456_0000, 0x7f12_345a_0000, 0x28000));
        assert_eq!(name, b"/usr/lib/a file (deleted)");
        assert_eq!(parse(b"7f1234560000-7f12345a0000 r--p 00028000 fe:01 1234 /usr/lib/a"), None);
        assert_eq!(parse(b"nonsense"), None);
        assert_eq!(parse(b"1000-2000 r-xp 0 00:00 0").unwrap().1, b"");
    }

    #[test]
    fn this_code_is_in_a_mapping_of_this_program() {
        let (mut maps, mut names, mut buffer) = ([Map::default(); 64], [0; 4096], [0; 512]);
        let maps = Maps::read(&mut maps, &mut names, &mut buffer);
        let number = maps.number(parse as fn(&'static [u8]) -> Option<(Map, &'static [u8])> as usize);
        let own = std::env::current_exe().unwrap();
        assert_eq!(maps.name(&maps.all()[number - 1]), own.to_str().unwrap().as_bytes());
        assert_eq!(maps.number(8), 0);
    }
}
