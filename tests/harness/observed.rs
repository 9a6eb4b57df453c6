//! What is known of `programs/observed.c`, and the few ways to find a number in a report.

/// Bytes of the blocks that the program holds, by the size of the block: 5000 x 48, 300 x 5120, 3 x 102400, and 64 MiB.
pub const HELD_BYTES: u64 = 5000 * 48 + 300 * 5120 + 3 * 102_400 + (64 << 20);
/// What the C library may hold besides: its streams' buffers.
const LIBRARY_BYTES: u64 = 64 << 10;

/// Wants a figure of live bytes to be what the program holds.
pub fn check(live: u64) -> Result<(), String> {
    let most = HELD_BYTES + LIBRARY_BYTES;
    if (HELD_BYTES..=most).contains(&live) { Ok(()) } else { Err(format!("{live} live bytes, {HELD_BYTES} held")) }
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
