//! Text of many lines, made without `core::fmt` and without memory: handed on in pieces of a fixed buffer.
//!
//! Must not know where the text goes.

use super::text;

const CAPACITY: usize = 1024;

/// Text on its way to `print`; what is left is handed on when it is dropped.
pub(crate) struct Page<'a> {
    bytes: [u8; CAPACITY],
    len: usize,
    print: &'a mut dyn FnMut(&[u8]),
}

impl<'a> Page<'a> {
    /// An empty page.
    pub(crate) fn new(print: &'a mut dyn FnMut(&[u8])) -> Self {
        Self { bytes: [0; CAPACITY], len: 0, print }
    }

    /// Adds text as it is.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        text.bytes().for_each(|byte| self.push(byte));
        self
    }

    /// Adds text with every underscore shown as a blank, filled up with blanks to `width`.
    pub(crate) fn words(&mut self, name: &str, width: usize) -> &mut Self {
        name.bytes().for_each(|byte| self.push(if byte == b'_' { b' ' } else { byte }));
        self.blanks(width.saturating_sub(name.len()))
    }

    /// Adds text without control characters between quotes, as JSON and Prometheus want it.
    pub(crate) fn quoted(&mut self, text: &str) -> &mut Self {
        self.push(b'"');
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.push(b'\\');
            }
            self.push(byte);
        }
        self.push(b'"');
        self
    }

    /// Adds text without control characters between quotes, as XML wants it.
    pub(crate) fn quoted_for_xml(&mut self, text: &str) -> &mut Self {
        self.push(b'"');
        for byte in text.bytes() {
            match byte {
                b'"' => self.text("&quot;"),
                b'&' => self.text("&amp;"),
                b'<' => self.text("&lt;"),
                b'>' => self.text("&gt;"),
                _ => {
                    self.push(byte);
                    continue;
                }
            };
        }
        self.push(b'"');
        self
    }

    /// Adds a decimal number.
    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        text::each_digit(value, 10, &mut |digit| self.push(digit));
        self
    }

    /// Adds a decimal number that ends `width` further on, and begins there at the earliest.
    pub(crate) fn right(&mut self, value: u64, width: usize) -> &mut Self {
        let mut digits = 0;
        text::each_digit(value, 10, &mut |_| digits += 1);
        self.blanks(width.saturating_sub(digits)).number(value)
    }

    /// Adds `part` of `whole` as a percentage with one decimal; nothing of nothing is 0.
    pub(crate) fn percent(&mut self, part: u64, whole: u64) -> &mut Self {
        let mille = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
        self.number(mille / 10).text(".").number(mille % 10)
    }

    /// Adds blanks.
    pub(crate) fn blanks(&mut self, count: usize) -> &mut Self {
        (0..count).for_each(|_| self.push(b' '));
        self
    }

    fn push(&mut self, byte: u8) {
        if self.len == CAPACITY {
            self.hand_on();
        }
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn hand_on(&mut self) {
        (self.print)(self.bytes.get(..self.len).unwrap_or(&[]));
        self.len = 0;
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if self.len > 0 {
            self.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_is_written_arrives_whole_and_in_order() {
        let mut seen = Vec::new();
        let mut print = |bytes: &[u8]| seen.extend_from_slice(bytes);
        let mut page = Page::new(&mut print);
        for number in 0..1000 {
            page.number(number).text("\n");
        }
        drop(page);
        let expected: std::string::String = (0..1000).map(|number| std::format!("{number}\n")).collect();
        assert_eq!(seen, expected.as_bytes());
    }

    #[test]
    fn quotes_end_where_they_should() {
        let mut seen = Vec::new();
        let mut print = |bytes: &[u8]| seen.extend_from_slice(bytes);
        Page::new(&mut print).quoted(r#"a"} 1\"#).text(" ").quoted_for_xml("<a b=\"&\">");
        assert_eq!(seen, br#""a\"} 1\\" "&lt;a b=&quot;&amp;&quot;&gt;""#);
    }

    #[test]
    fn columns_are_aligned() {
        let mut seen = Vec::new();
        let mut print = |bytes: &[u8]| seen.extend_from_slice(bytes);
        Page::new(&mut print)
            .words("a_b", 5)
            .right(12, 4)
            .text("|")
            .right(12345, 2)
            .text("|")
            .percent(1, 3)
            .percent(1, 0);
        assert_eq!(seen, b"a b    12|12345|33.30.0");
    }
}
