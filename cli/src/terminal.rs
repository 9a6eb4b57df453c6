//! The terminal: lines with colours on it, and the keys that are pressed.
//!
//! Must not know: what the lines show.

use crate::system::{Mode, size_of_terminal, wait_for_input};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

/// Columns and rows where the terminal does not say how many it has.
const USUAL: (usize, usize) = (80, 24);
/// The alternate screen, no cursor, no wrapping; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// How a piece of text looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    Plain,
    Bold,
    Faint,
    Chosen,
    Green,
    Yellow,
    Red,
    Blue,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Chosen => "\x1b[7m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[31m",
            Self::Blue => "\x1b[34m",
        }
    }
}

/// A line of a screen.
#[derive(Clone, Default, Debug)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    /// A line of one piece.
    pub(crate) fn of(style: Style, text: impl Into<String>) -> Self {
        Self(vec![(style, text.into())])
    }

    /// Adds a piece.
    pub(crate) fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// Its text alone.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// As much of it as fits, as the terminal wants it.
    fn encode(&self, columns: usize) -> String {
        let (mut room, mut text) = (columns, String::new());
        for (style, piece) in &self.0 {
            let shown: String = piece.chars().take(room).collect();
            room -= shown.chars().count();
            text += style.code();
            text += &shown;
            if *style == Style::Chosen {
                text.extend(std::iter::repeat_n(' ', room));
            }
            text += "\x1b[0m";
        }
        text + "\x1b[K"
    }
}

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Letter(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Tab,
    Back,
    Escape,
    Interrupt,
}

/// See the module. It is as before once this is dropped.
pub(crate) struct Terminal {
    keys: File,
    before: Mode,
    waiting: Vec<u8>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing can be done for a terminal that is gone.
        let _ = self.before.put(&self.keys);
        let _ = io::stdout().write_all(LEAVE.as_bytes()).and_then(|()| io::stdout().flush());
    }
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn open() -> Result<Self> {
        ensure!(io::stdout().is_terminal(), "standard output is no terminal; --once prints plain text");
        let keys = File::open("/dev/tty").context("the terminal")?;
        let before = Mode::of(&keys).context("the terminal")?;
        before.raw().put(&keys).context("the terminal")?;
        let terminal = Self { keys, before, waiting: Vec::new() };
        io::stdout().write_all(ENTER.as_bytes())?;
        Ok(terminal)
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        size_of_terminal().unwrap_or(USUAL)
    }

    /// Shows lines from the top on; those that do not fit are left out.
    ///
    /// # Errors
    /// Where the terminal takes nothing.
    pub(crate) fn draw(&self, lines: &[Line]) -> Result<()> {
        let (columns, rows) = self.size();
        let shown: Vec<_> = lines.iter().take(rows).map(|line| line.encode(columns)).collect();
        let mut output = io::stdout().lock();
        write!(output, "\x1b[H{}\x1b[J", shown.join("\r\n"))?;
        Ok(output.flush()?)
    }

    /// The next key; `None` if none comes until `end`.
    ///
    /// # Errors
    /// Where the terminal is gone.
    pub(crate) fn key(&mut self, end: Instant) -> Result<Option<Key>> {
        loop {
            if let Some(key) = decode(&mut self.waiting) {
                return Ok(Some(key));
            }
            // None also comes where the terminal has another size now.
            if wait_for_input([self.keys.as_fd()], Some(end.saturating_duration_since(Instant::now())))? == [false] {
                return Ok(None);
            }
            let mut bytes = [0; 64];
            let count = self.keys.read(&mut bytes)?;
            ensure!(count > 0, "the terminal is gone");
            self.waiting.extend_from_slice(&bytes[..count]);
        }
    }
}

/// Takes the first key off the bytes; keys without a meaning here are passed over.
fn decode(bytes: &mut Vec<u8>) -> Option<Key> {
    const SEQUENCES: [(&[u8], Key); 14] = [
        (b"\x1b[A", Key::Up),
        (b"\x1bOA", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1bOB", Key::Down),
        (b"\x1b[5~", Key::PageUp),
        (b"\x1b[6~", Key::PageDown),
        (b"\x1b[H", Key::Home),
        (b"\x1b[1~", Key::Home),
        (b"\x1b[F", Key::End),
        (b"\x1b[4~", Key::End),
        (b"\r", Key::Enter),
        (b"\t", Key::Tab),
        (b"\x7f", Key::Back),
        (b"\x03", Key::Interrupt),
    ];
    while let Some(&first) = bytes.first() {
        if let Some((sequence, key)) = SEQUENCES.iter().find(|(sequence, _)| bytes.starts_with(sequence)) {
            bytes.drain(..sequence.len());
            return Some(*key);
        }
        if first == b'\x1b' {
            let is_sequence = bytes.len() > 2 && matches!(bytes[1], b'[' | b'O');
            let end =
                bytes.iter().skip(2).position(|byte| (0x40..0x7f).contains(byte)).map_or(bytes.len(), |at| at + 3);
            bytes.drain(..if is_sequence { end } else { 1 });
            if is_sequence {
                continue;
            }
            return Some(Key::Escape);
        }
        bytes.remove(0);
        if (b' '..0x7f).contains(&first) {
            return Some(Key::Letter(first.into()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let mut bytes = b"q\x1b[A\x1b[6~\x1b[15~\r\xc3\xa4/\x03\x1b".to_vec();
        let keys: Vec<_> = std::iter::from_fn(|| decode(&mut bytes)).collect();
        let letters = [Key::Letter('q'), Key::Up, Key::PageDown, Key::Enter, Key::Letter('/')];
        assert_eq!(keys, [&letters[..], &[Key::Interrupt, Key::Escape]].concat());
    }

    #[test]
    fn lines_are_cut_at_the_edge_and_what_is_chosen_fills_its_line() {
        let line = Line::of(Style::Green, "äbc").and(Style::Plain, "def");
        assert_eq!(line.encode(4), "\x1b[32mäbc\x1b[0md\x1b[0m\x1b[K");
        assert_eq!(Line::of(Style::Chosen, "a").encode(3), "\x1b[7ma  \x1b[0m\x1b[K");
    }
}
