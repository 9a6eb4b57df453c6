//! One line of text in a fixed buffer, made without `core::fmt` and without memory.
//!
//! A line that does not fit is cut; it never fails. Must not know where the line goes.

const CAPACITY: usize = 384;

/// A line being built.
pub(crate) struct Line {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Line {
    /// An empty line.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes())
    }

    /// Adds bytes as they are, but with control characters shown as `?` so that a line stays one line.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            self.push(if byte.is_ascii_control() { b'?' } else { byte });
        }
        self
    }

    /// Adds a decimal number.
    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        self.digits(value, 10)
    }

    /// Adds a decimal number that may be negative.
    pub(crate) fn signed(&mut self, value: i64) -> &mut Self {
        if value < 0 {
            self.push(b'-');
        }
        self.number(value.unsigned_abs())
    }

    /// Adds an address as `0x…`.
    pub(crate) fn address(&mut self, value: usize) -> &mut Self {
        self.text("0x").digits(value as u64, 16)
    }

    /// The bytes written so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Ends the line and returns its bytes.
    pub(crate) fn finish(&mut self) -> &[u8] {
        self.len = self.len.min(CAPACITY - 1);
        self.push(b'\n');
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    fn digits(&mut self, value: u64, base: u64) -> &mut Self {
        each_digit(value, base, &mut |digit| self.push(digit));
        self
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }
}

/// Calls `see` with the digits of `value`, the first one first.
pub(crate) fn each_digit(value: u64, base: u64, see: &mut dyn FnMut(u8)) {
    let mut scale = 1;
    while value / scale >= base {
        scale *= base;
    }
    while scale > 0 {
        let digit = (value / scale % base) as u8;
        see(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        scale /= base;
    }
}

/// Replaces by `?` each byte that is of no text in UTF-8, or of a character that no reader should obey: of control, or
/// of those that turn letters round. The bytes are text then.
pub(crate) fn make_plain(bytes: &mut [u8]) {
    const LONGEST: usize = 4;
    let mut at = 0;
    while at < bytes.len() {
        let letter = |len| core::str::from_utf8(bytes.get(at..at + len)?).ok()?.chars().next();
        let letter = (1..=LONGEST).find_map(letter);
        let len = letter.map_or(1, char::len_utf8);
        if !letter.is_some_and(is_plain) {
            bytes.iter_mut().skip(at).take(len).for_each(|byte| *byte = b'?');
        }
        at += len;
    }
}

fn is_plain(letter: char) -> bool {
    let is_control = matches!(letter, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}');
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // XML has no place for these two.
    !is_control && !turns && !matches!(letter, '\u{fffe}' | '\u{ffff}')
}

/// A text of at most `N` bytes that lies in the table itself. In place of a pointer to it, which the loader would have
/// to write into every process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inline<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Inline<N> {
    /// A copy of `text`; for constants, because a text that is too long does not compile.
    pub(crate) const fn of(text: &str) -> Self {
        let (from, mut bytes, mut at) = (text.as_bytes(), [0; N], 0);
        assert!(from.len() <= N && N <= u8::MAX as usize, "the text does not fit");
        while at < from.len() {
            bytes[at] = from[at];
            at += 1;
        }
        Self { bytes, len: at as u8 }
    }

    pub(crate) fn text(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_texts_read_back() {
        assert_eq!(Inline::<8>::of("").text(), "");
        assert_eq!(Inline::<8>::of("metadata").text(), "metadata");
        assert_eq!(Inline::<9>::of("straße").text(), "straße");
    }

    #[test]
    fn plain_text_stays_and_all_else_becomes_marks() {
        let plain = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            make_plain(&mut bytes);
            std::string::String::from_utf8(bytes).unwrap()
        };
        assert_eq!(plain("straße 漢字 😀 <&\"\\>".as_bytes()), "straße 漢字 😀 <&\"\\>");
        assert_eq!(plain(b"a\0b\nc\x1b[31m\x7f"), "a?b?c?[31m?");
        // A C1 control, a mark of direction, a noncharacter; pieces and surrogates that are no UTF-8.
        assert_eq!(plain("\u{9b}\u{202e}\u{ffff}|".as_bytes()), "????????|");
        assert_eq!(plain(b"\xff\xc3|\xe6\xbc|\xed\xa0\x80|\xc3"), "??|??|???|?");
    }

    #[test]
    fn numbers_and_text_read_back() {
        let mut line = Line::new();
        line.text("a=").number(0).text(" b=").number(u64::MAX).text(" c=").address(0xdead_beef);
        line.text(" d=").signed(-7).text(" e=").signed(8);
        assert_eq!(line.finish(), b"a=0 b=18446744073709551615 c=0xdeadbeef d=-7 e=8\n");
    }

    #[test]
    fn long_lines_are_cut_and_still_end() {
        let mut line = Line::new();
        for _ in 0..100 {
            line.text("0123456789");
        }
        let bytes = line.finish();
        assert_eq!(bytes.len(), CAPACITY);
        assert_eq!(bytes.last(), Some(&b'\n'));
    }

    #[test]
    fn control_characters_cannot_break_the_line() {
        let mut line = Line::new();
        assert_eq!(line.raw(b"x\ny").finish(), b"x?y\n");
    }
}
