//! A gzip file of stored blocks, for readers of profiles expect gzip: no compression. Knows the container; must not
//! know its contents.

use crate::sys::output::Output;

/// The most that one stored block can hold.
const BLOCK_MAX: usize = 65_535;
/// Magic number, deflate, no flags, no time, no hint, Unix.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
const LAST: u8 = 1;
/// The polynomial of ISO 3309, least significant bit first.
const POLYNOMIAL: u32 = 0xedb8_8320;

static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut rest = index as u32;
        let mut bit = 0;
        while bit < u8::BITS {
            rest = if rest & 1 != 0 { rest >> 1 ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        table[index] = rest;
        index += 1;
    }
    table
};

fn checksum(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, &byte| TABLE[(sum as u8 ^ byte) as usize] ^ sum >> 8)
}

/// A file that is being written.
pub(super) struct Gzip<'a> {
    output: Output<'a>,
    buffer: &'a mut [u8],
    len: usize,
    sum: u32,
    total: u32,
}

impl<'a> Gzip<'a> {
    /// Begins a file. A block is as large as `buffer`.
    pub(super) fn begin(mut output: Output<'a>, buffer: &'a mut [u8]) -> Self {
        output.write(&HEADER);
        let room = buffer.len().min(BLOCK_MAX);
        let (buffer, _) = buffer.split_at_mut(room);
        Self { output, buffer, len: 0, sum: !0, total: 0 }
    }

    /// Adds bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        self.sum = checksum(self.sum, bytes);
        self.total = self.total.wrapping_add(bytes.len() as u32);
        while !bytes.is_empty() {
            if self.len == self.buffer.len() {
                self.flush(0);
            }
            let part = bytes.len().min(self.buffer.len() - self.len);
            let (now, later) = bytes.split_at(part);
            if let Some(room) = self.buffer.get_mut(self.len..self.len + part) {
                room.copy_from_slice(now);
            }
            self.len += part;
            bytes = later;
        }
    }

    /// Ends the file and puts it in its place; the error number of the first failure.
    pub(super) fn end(mut self) -> Result<(), i32> {
        self.flush(LAST);
        self.output.write(&(!self.sum).to_le_bytes());
        self.output.write(&self.total.to_le_bytes());
        self.output.finish()
    }

    fn flush(&mut self, mark: u8) {
        let len = self.len as u16;
        let ([low, high], [not_low, not_high]) = (len.to_le_bytes(), (!len).to_le_bytes());
        self.output.write(&[mark, low, high, not_low, not_high]);
        self.output.write(self.buffer.get(..self.len).unwrap_or(&[]));
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(!checksum(!0, b"123456789"), 0xcbf4_3926);
    }
}
