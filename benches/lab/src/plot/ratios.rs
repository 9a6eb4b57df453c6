//! One row per workload, one mark per allocator, on a logarithmic axis of ratios to the base.
//!
//! Knows: rows and marks. Must not know: what a ratio is of, beyond its title.

use super::style::{Style, entries, label};
use crate::allocators::SPANDREL;
use crate::figures::quantile;
use crate::results::{Results, Workload};
use crate::table::{Measure, Selection, base, ratio};
use anyhow::Result;
use spandrel_plot::RGBColor;
use spandrel_plot::canvas::{Canvas, Lettering, Side};
use spandrel_plot::legend::Heading;
use spandrel_plot::scale::Scale;
use spandrel_plot::style::{BAND, BASE_LINE, GRID, INK, PALE_INK};

const WIDTH: f64 = 1500.0;
const MARGIN: f64 = 30.0;
const NAMES: f64 = 330.0;
const RIGHT: f64 = 60.0;
const ROW: f64 = 31.0;
const GROUP_GAP: f64 = 0.5;
const MARK: f64 = 7.5;
const LETTERS: f64 = 19.0;
const BELOW: f64 = 70.0;
/// The axis reaches as far as this share of all marks; what lies beyond is shown at its end with its number.
const SHOWN: f64 = 0.985;
const RANGE_LINE: RGBColor = RGBColor(205, 205, 205);

/// A row: its name and the ratio of each allocator.
struct Row<'a> {
    name: &'a str,
    ratios: Vec<(&'a str, f64)>,
}

/// The picture of a measure, or none without a ratio.
pub(super) fn draw(results: &Results, selection: &Selection<'_>, measure: Measure) -> Result<Option<String>> {
    let base = base(results);
    let names = &selection.names;
    let groups = groups(results, selection, base, measure);
    let all: Vec<f64> = groups.iter().flatten().flat_map(|row| row.ratios.iter().map(|(_, ratio)| *ratio)).collect();
    let (Some(low), Some(high)) = (quantile(&all, 0.0), quantile(&all, SHOWN)) else { return Ok(None) };

    let what = if measure == Measure::Peak { "Peak resident memory" } else { "CPU time" };
    let title = format!("{what} of each workload{}, against {}", selection.title(), label(base));
    let subtitle =
        "Ratio of medians on a logarithmic axis; further left is better. Medians of repeated, interleaved runs.";
    let heading = Heading { title: &title, subtitle, entries: &entries(names), width: WIDTH, margin: MARGIN };
    let top = heading.bottom() + 34.0;
    let rows: usize = groups.iter().map(Vec::len).sum();
    let gaps = (groups.len() - 1) as f64;
    let bottom = top + (rows as f64 + gaps * GROUP_GAP) * ROW;

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, bottom + BELOW)?;
    heading.draw(&canvas)?;
    let scale = Scale::logarithmic(low / 1.08, (high * 1.08).max(1.2), NAMES, WIDTH - RIGHT);
    axis(&canvas, &scale, top, bottom)?;
    let mut y = top;
    for group in &groups {
        for place in (0..group.len()).step_by(2) {
            let band = y + place as f64 * ROW;
            canvas.bar((MARGIN, band), (WIDTH - RIGHT, band + ROW), BAND)?;
        }
        y += (group.len() as f64 + GROUP_GAP) * ROW;
    }
    lines(&canvas, &scale, top, bottom)?;
    y = top;
    for group in &groups {
        for row in group {
            draw_row(&canvas, &scale, row, y + ROW / 2.0)?;
            y += ROW;
        }
        y += GROUP_GAP * ROW;
    }
    canvas.finish()?;
    Ok(Some(svg))
}

/// Workloads, then programs, then the geometric means; empty groups left out.
fn groups<'a>(results: &'a Results, selection: &Selection<'a>, base: &str, measure: Measure) -> Vec<Vec<Row<'a>>> {
    let names = &selection.names;
    let of = |synthetic: bool| {
        let among = selection
            .workloads
            .iter()
            .copied()
            .filter(|workload| measure.counts(workload) && workload.synthetic() == synthetic);
        let row = |workload: &'a Workload| Row {
            name: &workload.name,
            ratios: names
                .iter()
                .filter_map(|name| Some((*name, ratio(results, &workload.name, name, base, measure)?)))
                .collect(),
        };
        among.map(row).collect::<Vec<_>>()
    };
    let mean = |name: &&'a str| Some((*name, selection.mean(results, name, measure, |_| true)?));
    let means = vec![Row { name: "geometric mean", ratios: names.iter().filter_map(mean).collect() }];
    let mut groups = vec![of(true), of(false), means];
    groups.retain(|group| !group.is_empty());
    groups
}

fn axis(canvas: &Canvas<'_>, scale: &Scale, top: f64, bottom: f64) -> Result<()> {
    for tick in scale.ticks() {
        let x = scale.pixel(tick);
        for y in [top - 18.0, bottom + 20.0] {
            canvas.text(&tick.to_string(), (x, y), Lettering::new(LETTERS, PALE_INK, Side::Middle))?;
        }
    }
    let centre = (NAMES + WIDTH - RIGHT) / 2.0;
    canvas.text("ratio (◂ lower is better)", (centre, bottom + 48.0), Lettering::new(LETTERS, PALE_INK, Side::Middle))
}

fn lines(canvas: &Canvas<'_>, scale: &Scale, top: f64, bottom: f64) -> Result<()> {
    for tick in scale.ticks() {
        let x = scale.pixel(tick);
        let (colour, width) = if tick == 1.0 { (BASE_LINE, 3) } else { (GRID, 1) };
        canvas.line((x, top), (x, bottom), colour, width)?;
    }
    Ok(())
}

fn draw_row(canvas: &Canvas<'_>, scale: &Scale, row: &Row<'_>, y: f64) -> Result<()> {
    let mean = row.name == "geometric mean";
    let lettering = Lettering::new(LETTERS, INK, Side::Left);
    canvas.text(row.name, (NAMES - 14.0, y), if mean { lettering.bold() } else { lettering })?;
    let pixels: Vec<f64> = row.ratios.iter().map(|(_, ratio)| scale.pixel(*ratio)).collect();
    if let (Some(left), Some(right)) = (quantile(&pixels, 0.0), quantile(&pixels, 1.0)) {
        canvas.line((left, y), (right, y), RANGE_LINE, 2)?;
    }
    let peers_first = |ours: bool| row.ratios.iter().filter(move |(name, _)| Style::of(name).ours == ours);
    for (name, ratio) in peers_first(false)
        .chain(peers_first(true).filter(|(name, _)| *name != SPANDREL))
        .chain(row.ratios.iter().filter(|(name, _)| *name == SPANDREL))
    {
        let style = Style::of(name);
        canvas.mark(style.shape, (scale.pixel(*ratio), y), MARK * style.weight(), style.ink())?;
    }
    let farthest = row.ratios.iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max);
    if scale.beyond(farthest) {
        let text = format!("{farthest:.1}▸");
        canvas.text(&text, (WIDTH - RIGHT + 10.0, y), Lettering::new(LETTERS * 0.85, PALE_INK, Side::Right))?;
    }
    Ok(())
}
