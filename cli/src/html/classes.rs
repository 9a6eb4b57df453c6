//! Classes: where the bytes of their spans are, and how full the spans are.

use super::{AT_HAND, CLEAN, FREE, LIVE, WIDTH, key};
use crate::quantity::show;
use crate::recording::{ClassUse, Kind, Recording};
use std::collections::BTreeMap;

/// Most classes that are shown.
const SHOWN: usize = 24;
const ROW: usize = 18;
const LEFT: usize = 70;
const RIGHT: usize = 150;
const DECILES: usize = 10;

/// A bar for each class: live, at hand, free in spans, tail.
pub(super) fn uses(classes: &[ClassUse]) -> String {
    let shown = &classes[..classes.len().min(SHOWN)];
    let most = shown.iter().map(|class| class.span_bytes).max().unwrap_or(0).max(1);
    let mut svg = format!("<svg width=\"{WIDTH}\" height=\"{}\" role=\"img\">\n", shown.len() * ROW);
    for (row, class) in shown.iter().enumerate() {
        let y = row * ROW;
        let free = class.span_bytes.saturating_sub(class.live + class.at_hand + class.tail);
        svg.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8,
            y + 13,
            class.block_bytes
        ));
        let mut x = LEFT as f64;
        for (bytes, colour, name) in [
            (class.live, LIVE, "live"),
            (class.at_hand, AT_HAND, "at hand"),
            (free, FREE, "free"),
            (class.tail, CLEAN, "tail"),
        ] {
            let width = bytes as f64 / most as f64 * (WIDTH - LEFT - RIGHT) as f64;
            let bar = format!("<rect x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\"/>", y + 2, ROW - 4);
            svg.push_str(&format!("<g style=\"fill:{colour}\"><title>{name}: {}</title>{bar}</g>", show(bytes)));
            x += width;
        }
        let (live, span) = (show(class.live), show(class.span_bytes));
        svg.push_str(&format!("<text x=\"{:.1}\" y=\"{}\">{live} of {span}</text>\n", x + 8.0, y + 13));
    }
    svg.push_str("</svg>\n");
    let text = "<p>By the bytes of a block, the classes with most bytes first. What blocks are larger than their requests is unknown.</p>\n";
    let entries = [
        (LIVE, "live"),
        (AT_HAND, "free in bins, caches, on its way"),
        (FREE, "free in spans"),
        (CLEAN, "in no block"),
    ];
    text.to_owned() + &svg + &key(&entries)
}

/// For each class how many spans are empty to a tenth, to two tenths, and so on.
pub(super) fn fills(recording: &Recording) -> String {
    let mut counts: BTreeMap<usize, [usize; DECILES]> = BTreeMap::new();
    for piece in &recording.pieces {
        if let Kind::Span { block_bytes, out, blocks } = piece.kind {
            let decile = (out * DECILES / blocks.max(1)).min(DECILES - 1);
            counts.entry(block_bytes).or_default()[decile] += 1;
        }
    }
    let head: String = (1..=DECILES).map(|decile| format!("<th>to {} %</th>", decile * 100 / DECILES)).collect();
    let mut table = format!("<table><tr><th>class</th>{head}</tr>\n");
    for class in recording.classes.iter().take(SHOWN) {
        let Some(row) = counts.get(&(class.block_bytes as usize)) else { continue };
        let most = row.iter().copied().max().unwrap_or(0).max(1);
        let cells: String = row.iter().map(|&count| cell(count, most)).collect();
        table.push_str(&format!("<tr><td>{}</td>{cells}</tr>\n", class.block_bytes));
    }
    table
        + "</table>\n<p>Spans by the share of their blocks that are out. Many in the left columns are what fragmentation looks like.</p>\n"
}

fn cell(count: usize, most: usize) -> String {
    if count == 0 {
        return "<td></td>".to_owned();
    }
    let shade = 0.1 + 0.5 * count as f64 / most as f64;
    format!("<td style=\"background:rgba(66,99,235,{shade:.2})\">{count}</td>")
}
