//! The map: a cell for each region, or for several where there are many, coloured by what is in it.

use super::{CLEAN, DIRTY, LARGE, WIDTH, key};
use crate::quantity::show;
use crate::recording::{Kind, Piece, Recording};

/// Cells of a row, and most cells of a map.
const COLUMNS: usize = 96;
const CELLS_MAX: usize = COLUMNS * 96;
const CELL: usize = WIDTH / COLUMNS;

/// A map of all regions that were ever used.
pub(super) fn regions(recording: &Recording) -> String {
    let first = recording.pieces.first().map_or(0, |piece| piece.region);
    let end = recording.pieces.iter().map(|piece| piece.region + piece.regions).max().unwrap_or(0);
    let per_cell = (end - first).div_ceil(CELLS_MAX).max(1);
    let cells = (end - first).div_ceil(per_cell);
    let height = cells.div_ceil(COLUMNS) * CELL;
    let mut svg = format!("<svg width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n");
    // Of pieces in the same cells the last is seen; so many others there may be that a page with all of them would be
    // of no use.
    let cells_of = |piece: &Piece| cells_of(piece, first, per_cell);
    for (index, piece) in recording.pieces.iter().enumerate() {
        if recording.pieces.get(index + 1).is_none_or(|next| cells_of(next) != cells_of(piece)) {
            svg.push_str(&draw(piece, cells_of(piece)));
        }
    }
    svg.push_str("</svg>\n");
    let size = show((recording.region_bytes * per_cell) as u64);
    let text = format!(
        "<p>Each cell is {size} of address space, in order. A span is the greener the more of its blocks are out.</p>\n"
    );
    let fills = [0.0, 0.5, 1.0].map(green);
    let entries = [
        (fills[0].as_str(), "span, empty"),
        (fills[1].as_str(), "half out"),
        (fills[2].as_str(), "all out"),
        (LARGE, "large block"),
        (DIRTY, "free, pages kept"),
        (CLEAN, "free, no pages"),
    ];
    text + &svg + &key(&entries)
}

/// The first cell that a piece is in, and the one behind its last.
fn cells_of(piece: &Piece, first: usize, per_cell: usize) -> (usize, usize) {
    ((piece.region - first) / per_cell, (piece.region + piece.regions - first).div_ceil(per_cell))
}

/// The cells of a piece, as one title over a rectangle in each row.
fn draw(piece: &Piece, (start, end): (usize, usize)) -> String {
    let (colour, title) = match piece.kind {
        Kind::Span { block_bytes, out, blocks } => {
            (green(out as f64 / blocks.max(1) as f64), format!("{out} of {blocks} blocks of {block_bytes} bytes out"))
        }
        Kind::Large => (LARGE.to_owned(), "large block".to_owned()),
        Kind::Dirty => (DIRTY.to_owned(), "free, pages kept".to_owned()),
        Kind::Clean => (CLEAN.to_owned(), "free, no pages".to_owned()),
    };
    let mut rectangles = String::new();
    let mut at = start;
    while at < end {
        let (row, column) = (at / COLUMNS, at % COLUMNS);
        let count = (COLUMNS - column).min(end - at);
        let (x, y, width) = (column * CELL, row * CELL, count * CELL - 1);
        rectangles.push_str(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\"/>", CELL - 1));
        at += count;
    }
    format!("<g style=\"fill:{colour}\"><title>{title}</title>{rectangles}</g>\n")
}

/// From red to green.
fn green(fill: f64) -> String {
    const EMPTY: [f64; 3] = [232.0, 89.0, 12.0];
    const HALF: [f64; 3] = [242.0, 192.0, 55.0];
    const FULL: [f64; 3] = [47.0, 158.0, 68.0];
    let fill = fill.clamp(0.0, 1.0) * 2.0;
    let (from, to, part) = if fill < 1.0 { (EMPTY, HALF, fill) } else { (HALF, FULL, fill - 1.0) };
    let mix = |index: usize| (from[index] + (to[index] - from[index]) * part).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_on_in_the_next_row() {
        let piece = Piece { region: COLUMNS, regions: 2 * COLUMNS, kind: Kind::Large };
        let rectangles = |piece: &Piece| draw(piece, cells_of(piece, 1, 1)).matches("<rect").count();
        assert_eq!(rectangles(&piece), 3);
        assert_eq!(rectangles(&Piece { regions: 1, ..piece }), 1);
    }

    #[test]
    fn a_cell_is_drawn_once_however_many_pieces_are_in_it() {
        let mut recording = Recording { region_bytes: 32768, ..Recording::default() };
        recording.pieces = (0..CELLS_MAX * 20).map(|region| Piece { region, regions: 1, kind: Kind::Large }).collect();
        assert_eq!(regions(&recording).matches("<rect").count(), CELLS_MAX);
    }

    #[test]
    fn fills_have_three_landmarks() {
        assert_eq!([0.0, 0.5, 1.0].map(green), ["#e8590c", "#f2c037", "#2f9e44"]);
    }
}
