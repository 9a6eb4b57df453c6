//! Looks at where the code of the hit path lies. The allocator takes a thread that sleeps for one that was not interrupted on its hit
//! path if its stack holds no address of that code but function starts and places behind a call; so all code that reads the thread's
//! word must lie between the two markers, and no other address there may look as if it were behind a call.
//!
//! Knows: how objdump prints x86-64 code, bytes included, and how the library tells calls. Must not know: what the code does.

use anyhow::{Context, Result, bail};
use std::ops::Range;

/// Instructions within which the offset of the thread's word is used after it was loaded.
const REACH: usize = 12;
/// Bytes before an address that tell a call.
const CALL_BYTES: usize = 6;

/// Relative calls that go further are none.
const CALL_REACH: u32 = 1 << 24;

/// What is known of the library from outside.
pub struct Layout<'a> {
    /// `objdump --disassemble --wide` of its code.
    pub code: &'a str,
    /// What lies between the markers.
    pub hit_path: Range<u64>,
    /// Where the offset of the thread's word is kept.
    pub slot: u64,
}

struct Instruction<'a> {
    address: u64,
    bytes: Vec<u8>,
    text: &'a str,
}

/// What lies where it must not, one line each.
///
/// # Errors
/// When the text is no such output, or nothing reads the word.
pub fn faults(layout: &Layout<'_>) -> Result<Vec<String>> {
    let code = parse(layout.code)?;
    let mut faults = Vec::new();
    let mut readers = 0;
    for (index, instruction) in code.iter().enumerate() {
        if reads_word(&code, index, layout.slot) {
            readers += 1;
            if !layout.hit_path.contains(&instruction.address) {
                faults.push(format!("{:x} reads the thread's word outside the hit path's section", instruction.address));
            }
        }
    }
    if readers == 0 {
        bail!("nothing reads the thread's word at {:x}", layout.slot);
    }
    faults.extend(impostors(&code, layout).map(|address| format!("{address:x} looks as if it were behind a call")));
    Ok(faults)
}

fn parse(text: &str) -> Result<Vec<Instruction<'_>>> {
    let mut code = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(address), Some(bytes), Some(text)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let Some(address) = address.trim().strip_suffix(':') else { continue };
        let address = u64::from_str_radix(address, 16).with_context(|| line.to_owned())?;
        let bytes: Result<Vec<u8>, _> = bytes.split_whitespace().map(|byte| u8::from_str_radix(byte, 16)).collect();
        code.push(Instruction { address, bytes: bytes.with_context(|| line.to_owned())?, text: text.trim() });
    }
    Ok(code)
}

/// Whether the instruction at `index` loads the word's offset, and one of the next loads the word by it.
fn reads_word(code: &[Instruction<'_>], index: usize, slot: u64) -> bool {
    let Some(loaded) = code[index].text.split_once(&format!("# {slot:x} ")) else { return false };
    let register = loaded.0.rsplit(',').next().unwrap_or_default().trim();
    let source = format!("%fs:({register}),");
    code[index + 1..].iter().take(REACH).any(|next| next.text.contains(&source))
}

/// Addresses on the hit path that the library would take for places behind a call, though no call is there.
fn impostors(code: &[Instruction<'_>], layout: &Layout<'_>) -> impl Iterator<Item = u64> {
    let start = layout.hit_path.start;
    let inside: Vec<&Instruction<'_>> =
        code.iter().filter(|instruction| layout.hit_path.contains(&instruction.address)).collect();
    let bytes: Vec<u8> = inside.iter().flat_map(|instruction| &instruction.bytes).copied().collect();
    let behind: Vec<u64> = inside
        .windows(2)
        .filter(|pair| !pair[0].text.starts_with("call") && !pair[0].text.contains(" call"))
        .map(|pair| pair[1].address)
        .collect();
    behind.into_iter().filter(move |address| {
        let end = (address - start) as usize;
        end.checked_sub(CALL_BYTES).and_then(|from| bytes.get(from..end)).is_some_and(is_call)
    })
}

/// As the library does it.
fn is_call(before: &[u8]) -> bool {
    match *before {
        [_, 0xe8, a, b, c, d] => i32::from_le_bytes([a, b, c, d]).unsigned_abs() < CALL_REACH,
        [0xff, 0x15, ..] | [.., 0xff, 0xd0..=0xd7] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "
0000000000001000 <spandrel_hit_start>:
    1000:\t0f 0b                \tud2
    1002:\t48 8b 0d 69 7a 00 00 \tmov    0x7a69(%rip),%rcx        # 8a72 <_GLOBAL_OFFSET_TABLE_+0x138>
    1009:\t48 89 f8             \tmov    %rdi,%rax
    100c:\t64 48 8b 09          \tmov    %fs:(%rcx),%rcx
    1010:\te8 01 02 03 00       \tcall   2000 <other>
    1015:\tc3                   \tret
0000000000002000 <other>:
    2000:\t48 8b 0d 69 7a 00 00 \tmov    0x7a69(%rip),%rcx        # 8a72 <_GLOBAL_OFFSET_TABLE_+0x138>
    2007:\t64 48 89 01          \tmov    %rax,%fs:(%rcx)
    200b:\tc3                   \tret
";

    fn layout(code: &str) -> Layout<'_> {
        Layout { code, hit_path: 0x1000..0x1016, slot: 0x8a72 }
    }

    #[test]
    fn code_in_its_place_has_no_fault() {
        assert_eq!(faults(&layout(CODE)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_reader_elsewhere_is_found() {
        let elsewhere = CODE.replace("mov    %rax,%fs:(%rcx)", "mov    %fs:(%rcx),%rax");
        assert_eq!(faults(&layout(&elsewhere)).unwrap(), ["2000 reads the thread's word outside the hit path's section"]);
    }

    #[test]
    fn an_address_that_looks_like_a_return_is_found() {
        let constant = CODE.replace("call   2000 <other>", "other  $0x00030201");
        assert_eq!(faults(&layout(&constant)).unwrap(), ["1015 looks as if it were behind a call"]);
    }

    #[test]
    fn text_without_readers_is_refused() {
        assert!(faults(&Layout { slot: 0x9999, ..layout(CODE) }).is_err());
        assert!(faults(&layout("")).is_err());
    }
}
