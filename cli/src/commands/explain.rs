//! `spandrel explain`: how a request of some size is served, from the library's own table of classes; or, in a process
//! that goes on meanwhile, what is at an address.

use crate::live::{Block, Owner, Place, State, Subject};
use crate::{output, quantity};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use spandrel::table::{self, ClassInfo, NATURAL_ALIGN, REGION_BYTES, Served};

const PAGE_BYTES: usize = 4096;

/// A size, or an address of a process, to explain.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The bytes of a request, such as 100, 64K or 2M; with --pid an address
    #[arg(value_parser = quantity::parse)]
    size: usize,
    /// The alignment of the request
    #[arg(value_parser = quantity::parse, default_value_t = NATURAL_ALIGN)]
    align: usize,
    /// Explain an address of this process instead of a size
    #[arg(long, conflicts_with = "align")]
    pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the explanation.
///
/// # Errors
/// For an alignment that is none.
pub(crate) fn execute(request: &Request) -> Result<()> {
    if let Some(pid) = request.pid {
        return print_lines(explain_place(request.size, &Subject::open(pid)?.place(request.size)?), request.json);
    }
    if !request.align.is_power_of_two() {
        bail!("an alignment is a power of two, and {} is none", request.align);
    }
    print_lines(explain(request.size, request.align), request.json)
}

fn print_lines(lines: Vec<(&'static str, String)>, json: bool) -> Result<()> {
    if json {
        return output::json(
            &lines.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect::<Value>(),
        );
    }
    for (name, text) in lines {
        println!("{name:<10}{text}");
    }
    Ok(())
}

fn explain_place(address: usize, place: &Place) -> Vec<(&'static str, String)> {
    let mut lines = vec![("address", format!("{address:#x}"))];
    match place {
        Place::Block(block) => lines.extend(explain_block(address, block)),
        Place::Tail(class) => {
            lines.push(("place", format!("behind the last block of a span of {} bytes", class.block_bytes)))
        }
        Place::Large { start, bytes } => {
            lines.push(("place", format!("{} bytes into a large block", address.wrapping_sub(*start))));
            lines.push(("block", format!("{start:#x}, {bytes} bytes")));
            lines.push(("state", "live".to_owned()));
        }
        Place::Free { dirty } => {
            let pages = if *dirty { "its pages are still there" } else { "the kernel has its pages" };
            lines.push(("place", format!("in a free run of regions; {pages}")));
        }
        Place::Unused => lines.push(("place", "in address space of Spandrel's that was never used".to_owned())),
        Place::Elsewhere => {
            lines.push(("place", "in no span or run of Spandrel's: a direct block, or another's memory".to_owned()));
        }
    }
    lines
}

fn explain_block(address: usize, block: &Block) -> [(&'static str, String); 5] {
    let owner = match block.owner {
        Owner::Thread(thread) => format!("thread {thread}"),
        Owner::CentralList => "no thread; the next one that needs it takes it".to_owned(),
    };
    let state = match block.state {
        State::Live => "live: the program holds it".to_owned(),
        State::InSpan => "free, in its span".to_owned(),
        State::InBin(thread) => format!("free, in the bin of thread {thread}"),
        State::OnItsWay => "free, in a batch on its way".to_owned(),
    };
    [
        ("place", format!("{} bytes into a block of a class", address.wrapping_sub(block.start))),
        (
            "block",
            format!(
                "{:#x}, {} bytes, number {} of {}",
                block.start, block.class.block_bytes, block.index, block.class.blocks
            ),
        ),
        ("class", format!("{} of {}", block.class.index, table::CLASSES)),
        ("owner", owner),
        ("state", state),
    ]
}

fn explain(size: usize, align: usize) -> Vec<(&'static str, String)> {
    let mut lines =
        vec![("request", format!("{size} bytes ({}) at a multiple of {align}", quantity::show(size as u64)))];
    let served = table::served(size, align, PAGE_BYTES);
    let lane = |what: &str| ("lane", format!("{}: {what}", served.lane()));
    match served {
        Served::Small(class) => {
            lines.push(lane("a block of a class"));
            lines.extend(explain_class(size, &class));
        }
        Served::Large { regions } => {
            lines.push(lane("a run of regions"));
            let bytes = size.max(1).next_multiple_of(PAGE_BYTES);
            lines.push(("block", format!("{bytes} bytes, {} unused", share(bytes - size, bytes))));
            lines.push(("run", format!("{regions} x {} KiB of address space", REGION_BYTES >> 10)));
        }
        Served::Direct => {
            lines.push(lane("a mapping of its own"));
            let bytes = size.max(1).next_multiple_of(PAGE_BYTES);
            lines.push(("block", format!("{bytes} bytes, {} unused", share(bytes - size, bytes))));
        }
        Served::Refused => lines.push(lane("no object can be that large; NULL and ENOMEM")),
    }
    lines
}

fn explain_class(size: usize, class: &ClassInfo) -> [(&'static str, String); 4] {
    let (block, span) = (class.block_bytes, class.span_bytes());
    [
        ("class", format!("{} of {}", class.index, table::CLASSES)),
        ("block", format!("{block} bytes, {} unused", share(block - size, block))),
        (
            "span",
            format!(
                "{} x {} KiB hold {} blocks, {} left over",
                class.regions,
                REGION_BYTES >> 10,
                class.blocks,
                share(class.tail_bytes(), span)
            ),
        ),
        ("batch", format!("at most {} blocks travel between threads together", class.batch)),
    ]
}

fn share(part: usize, whole: usize) -> String {
    format!("{part} ({:.1} %)", 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(size: usize, align: usize) -> String {
        explain(size, align).into_iter().map(|(name, text)| format!("{name} {text}\n")).collect()
    }

    #[test]
    fn each_lane_is_explained() {
        let small = text(100, NATURAL_ALIGN);
        assert!(small.contains("lane small") && small.contains("block 112 bytes, 12 (10.7 %) unused"), "{small}");
        assert!(text(100, 64).contains("block 128 bytes"));
        assert!(text(40_000, 16).contains("block 40960 bytes, 960 (2.3 %) unused\nrun 2 x 32 KiB"));
        assert!(text(64 << 20, 16).contains("lane direct"));
        assert!(text(usize::MAX, 16).contains("lane refused"));
        assert!(text(0, 16).contains("block 8 bytes, 8 (100.0 %) unused"));
    }
}
