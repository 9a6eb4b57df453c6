//! Looks for what must not be on the fast path in the machine code of its functions.
//!
//! Knows: the form of `scripts/listing`, and the names objdump gives to x86-64 instructions. Must not know: what the
//! functions do. Slow halves are functions of their own, named `…_slow`, so everything inside a listed function counts
//! as fast path.

use anyhow::{Context, Result, bail};

/// The functions that must be listed.
pub const FUNCTIONS: [&str; 4] = ["malloc", "free", "_Znwm", "_ZdlPv"];

/// Prefixes of an instruction that change nothing that matters here.
const PREFIXES: [&str; 15] =
    ["bnd", "notrack", "rep", "repe", "repz", "repne", "repnz", "data16", "addr32", "cs", "ds", "es", "fs", "gs", "ss"];

/// A function of the listing: `== NAME START END`, then what objdump printed.
struct Function<'a> {
    name: &'a str,
    start: u64,
    end: u64,
    /// Instructions without their addresses.
    code: Vec<&'a str>,
}

/// The instructions on the fast path that must not be there, one line each.
///
/// # Errors
/// When the text is not such a listing, or lacks one of [`FUNCTIONS`].
pub fn faults(listing: &str) -> Result<Vec<String>> {
    let functions = parse(listing)?;
    let mut faults = Vec::new();
    for wanted in FUNCTIONS {
        let function = functions.iter().find(|function| function.name == wanted);
        let function = function.with_context(|| format!("the listing has no {wanted}"))?;
        if function.code.is_empty() {
            bail!("the listing of {wanted} is empty");
        }
        for instruction in &function.code {
            if let Some(fault) = fault(function, instruction)? {
                faults.push(format!("{wanted} has {fault}: {instruction}"));
            }
        }
        if !function.code.iter().any(|instruction| operation(instruction).0 == "ret") {
            faults.push(format!("{wanted} has no fast path: it never returns by itself"));
        }
    }
    Ok(faults)
}

fn parse(listing: &str) -> Result<Vec<Function<'_>>> {
    let mut functions: Vec<Function<'_>> = Vec::new();
    for line in listing.lines() {
        if let Some(heading) = line.strip_prefix("== ") {
            let words: Vec<&str> = heading.split(' ').collect();
            let [name, start, end] = words[..] else { bail!("not a heading of a listing: {line}") };
            functions.push(Function { name, start: address(start)?, end: address(end)?, code: Vec::new() });
        } else if let Some((_, instruction)) = line.split_once(":\t")
            && let Some(function) = functions.last_mut()
        {
            function.code.push(instruction.split('#').next().unwrap_or_default().trim());
        }
    }
    Ok(functions)
}

fn address(text: &str) -> Result<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).with_context(|| format!("not an address: {text}"))
}

/// Name, operands, and whether there is a lock prefix.
fn operation(instruction: &str) -> (&str, &str, bool) {
    let mut rest = instruction;
    let mut locked = false;
    loop {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let ignored = PREFIXES.contains(&word) || word.starts_with("rex") || ["xacquire", "xrelease"].contains(&word);
        if word == "lock" {
            locked = true;
        } else if !ignored || after.is_empty() {
            return (word, after.trim(), locked);
        }
        if after.is_empty() {
            return (word, "", locked);
        }
        rest = after.trim_start();
    }
}

fn fault(function: &Function<'_>, instruction: &str) -> Result<Option<&'static str>> {
    let (name, operands, locked) = operation(instruction);
    Ok(match name {
        _ if locked => Some("a lock prefix"),
        _ if name.starts_with("xchg") && operands.contains('(') => Some("a locked exchange"),
        _ if name.starts_with("call") || name.starts_with("lcall") => Some("a call"),
        "syscall" | "sysenter" | "int" => Some("a system call"),
        _ if name.starts_with('j') || name.starts_with("loop") => jump_fault(function, operands)?,
        _ if name.starts_with("ljmp") => Some("a far jump"),
        "(bad)" => Some("what is no instruction"),
        _ => None,
    })
}

/// Jumps stay inside, or go to a slow half.
fn jump_fault(function: &Function<'_>, operands: &str) -> Result<Option<&'static str>> {
    if operands.starts_with('*') {
        return Ok(Some("an indirect jump"));
    }
    let (target, symbol) = operands.split_once(' ').unwrap_or((operands, ""));
    if (function.start..function.end).contains(&address(target)?) {
        return Ok(None);
    }
    let symbol = symbol.trim_start_matches('<').trim_end_matches('>');
    Ok(if symbol.ends_with("_slow") { None } else { Some("a jump to what is no slow half") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listing of all functions, in which one instruction of free is another.
    fn listing(instruction: &str) -> String {
        let function = |name: &str, start: u64, instruction: &str| {
            format!(
                "== {name} {start:016x} {:x}\n\nlib.so:     file format elf64-x86-64\n\nDisassembly of section .text:\n\n\
                 {start:016x} <some(name)>:\n   {start:x}:\tmov    0x8c59(%rip),%rcx        # 28f90 <call+0x120>\n\
                 \x20  20333:\t{instruction}\n   20337:\tja     24d0 <lib::free_slow>\n   2033b:\tret\n",
                start + 0x10
            )
        };
        let nop = "nopw   %cs:0x0(%rax,%rax,1)";
        [function("malloc", 0x209e0, nop), function("free", 0x20330, instruction), function("_Znwm", 0x20560, nop)]
            .concat()
            + &function("_ZdlPv", 0x20330, nop)
    }

    #[test]
    fn a_clean_fast_path_has_no_fault() {
        for clean in [
            "jbe    20337 <some(name)+0x7>",
            "mov    %fs:(%rdx),%rdx",
            "xchg   %ax,%ax",
            "jmp    2200 <lib::malloc_slow>",
        ] {
            assert_eq!(faults(&listing(clean)).unwrap(), Vec::<String>::new(), "{clean}");
        }
    }

    #[test]
    fn what_must_not_be_there_is_found() {
        for (instruction, fault) in [
            ("call   24d0 <lib::free_slow>", "a call"),
            ("call   *0x8(%rax)", "a call"),
            ("notrack call *%rax", "a call"),
            ("lock cmpxchg %rcx,(%rdx)", "a lock prefix"),
            ("xacquire lock incl (%rdx)", "a lock prefix"),
            ("xchg   %rax,(%rdx)", "a locked exchange"),
            ("syscall", "a system call"),
            ("int    $0x80", "a system call"),
            ("jmp    *%rax", "an indirect jump"),
            ("jmp    a200 <lib::sized_delete>", "a jump to what is no slow half"),
        ] {
            let found = faults(&listing(instruction)).unwrap();
            assert_eq!(found, [format!("free has {fault}: {instruction}")]);
        }
    }

    #[test]
    fn a_function_that_only_jumps_away_has_no_fast_path() {
        let found = faults(&listing("nop").replace("\tret", "\tnop")).unwrap();
        assert_eq!(found.len(), FUNCTIONS.len());
    }

    #[test]
    fn a_listing_that_lacks_a_function_is_refused() {
        assert!(faults("").is_err());
        assert!(faults(&listing("nop").replace("== free", "== other")).is_err());
        assert!(faults(&listing("nop").replace(":\t", ": ")).is_err());
    }
}
