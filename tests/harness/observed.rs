//! `programs/observed.c`, a program to be observed: starts it, knows what it holds, and finds a number in a report
//! about it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::background::Background;
use crate::build::{self, Source};
use crate::header::Variant;
use crate::{paths, run};

/// Bytes of the blocks that the program holds, by the size of the block: 5000 x 48, 300 x 5120, 3 x 102400, 64 MiB, and
/// the 300 x 96 that its second thread has not freed.
pub const HELD_BYTES: u64 = 5000 * 48 + 300 * 5120 + 3 * 102_400 + (64 << 20) + 300 * 96;
/// Bytes that the C library may hold besides: its streams' buffers, and the needs of a thread.
const LIBRARY_BYTES: u64 = 64 << 10;

/// Wants a figure of live bytes to be what the program holds.
pub fn check(live: u64) -> Result<(), String> {
    let most = HELD_BYTES + LIBRARY_BYTES;
    if (HELD_BYTES..=most).contains(&live) { Ok(()) } else { Err(format!("{live} live bytes, {HELD_BYTES} held")) }
}

/// Wants the bytes of a heap profile to be those that the program holds, as far as samples can say.
pub fn check_sampled(bytes: u64) -> Result<(), String> {
    let (bytes, held) = (bytes as f64, HELD_BYTES as f64);
    if (bytes - held).abs() < held * 0.05 { Ok(()) } else { Err(format!("{bytes} bytes, {held} held")) }
}

/// The number behind `"name":` in JSON, the first one.
pub fn member(text: &str, name: &str) -> Result<u64, String> {
    number(text, &format!("\"{name}\":"))
}

/// The number of the attribute in XML, the first one.
pub fn attribute(text: &str, name: &str) -> Result<u64, String> {
    number(text, &format!(" {name}=\""))
}

fn number(text: &str, start: &str) -> Result<u64, String> {
    let (_, rest) = text.split_once(start).ok_or_else(|| format!("no {start} in {text}"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().map_err(|_| format!("no number behind {start} in {text}"))
}

/// The program while it waits, quiet. It ends with this.
pub struct Waiting {
    process: Background,
    /// Where a block of 5000 bytes is that it holds.
    pub block: usize,
}

impl Waiting {
    /// Starts it, so built, with these settings.
    pub fn start(variant: Variant, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_program("observed.c", variant, &[], settings)
    }

    /// Starts it with a heap profile.
    pub fn start_profiled() -> Result<Self, String> {
        let path = paths::scratch()?.join("heap-profile").display().to_string();
        Self::start(Variant::Preload, &[("SPANDREL_HEAP_PROFILE", &path), ("SPANDREL_HEAP_PROFILE_RATE", "16K")])
    }

    /// Starts `programs/lying.c`, whose descriptor has this value in this word.
    pub fn start_lying(word: usize, value: usize) -> Result<Self, String> {
        Self::start_program("lying.c", Variant::Preload, &[word.to_string(), value.to_string()], &[])
    }

    /// Starts `programs/stalling.c`, whose descriptor leads to a page that never comes by way of this word.
    pub fn start_stalling(word: usize) -> Result<Self, String> {
        Self::start_program("stalling.c", Variant::Preload, &[word.to_string()], &[])
    }

    /// Starts `programs/heaps.c`, with so many named heaps besides those with names that mean harm.
    pub fn start_heaps(variant: Variant, count: usize, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_program("heaps.c", variant, &[count.to_string()], settings)
    }

    fn start_program(
        source: &str,
        variant: Variant,
        arguments: &[String],
        settings: &[(&str, &str)],
    ) -> Result<Self, String> {
        let program = build::program(&Source::new(paths::program_source(source)), variant)?;
        let mut command = if variant == Variant::Preload { run::preloaded(program)? } else { run::command(program) };
        command.args(arguments).envs(settings.iter().copied());
        Self::start_command(command)
    }

    /// Starts any program that says `ready ADDRESS` and then waits until its input ends.
    pub fn start_command(mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Background(command.spawn().map_err(|error| error.to_string())?);
        let stdout = process.0.stdout.take().ok_or("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        let block = line.trim().strip_prefix("ready 0x").and_then(|digits| usize::from_str_radix(digits, 16).ok());
        block.map(|block| Self { process, block }).ok_or_else(|| format!("said `{line}`"))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        self.process.signal(number);
    }

    /// Lets it end by itself; an error unless with status 0.
    pub fn finish(mut self) -> Result<(), String> {
        drop(self.process.0.stdin.take());
        let status = self.process.0.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("{status}")) }
    }
}
