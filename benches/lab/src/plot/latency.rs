//! Percentiles of the duration of single calls, on a logarithmic axis, one panel per call.
//!
//! Knows: panels and lines. Must not know: how calls are timed.

use super::style::{Style, entries};
use crate::figures::quantile;
use crate::latency::{CALLS, Call, PERCENTILES};
use crate::results::{Results, Workload};
use crate::table::Selection;
use anyhow::Result;
use spandrel_plot::Color;
use spandrel_plot::canvas::{Canvas, Lettering, Place, Side};
use spandrel_plot::legend::Heading;
use spandrel_plot::scale::Scale;
use spandrel_plot::style::{BAND, GRID, INK, PALE_INK};

const WIDTH: f64 = 1500.0;
const HEIGHT: f64 = 880.0;
const MARGIN: f64 = 30.0;
const LEFT: f64 = 120.0;
const BETWEEN: f64 = 40.0;
const BELOW: f64 = 90.0;
const LETTERS: f64 = 20.0;
const MARK: f64 = 8.0;
/// How far the marks of one percentile stand apart.
const SHARE: f64 = 0.76;
const STEM_OPACITY: f64 = 0.4;

/// The picture of one workload, or none if it timed nothing.
pub(super) fn draw(results: &Results, selection: &Selection<'_>, workload: &Workload) -> Result<Option<String>> {
    let value = |name: &str, call: &Call| {
        PERCENTILES
            .iter()
            .map(|percentile| Some(percentile.figure(results, &workload.name, name, call)?.median))
            .collect::<Option<Vec<f64>>>()
    };
    let names: Vec<&str> =
        selection.names.iter().copied().filter(|name| CALLS.iter().all(|call| value(name, call).is_some())).collect();
    let all: Vec<f64> = names
        .iter()
        .flat_map(|name| CALLS.iter().filter_map(|call| value(name, call)).flatten())
        .filter(|value| *value > 0.0)
        .collect();
    let (Some(low), Some(high)) = (quantile(&all, 0.0), quantile(&all, 1.0)) else { return Ok(None) };
    let title = format!("Duration of single calls: {}", workload.name);
    let clock = results.runs.iter().filter(|run| run.workload == workload.name);
    let clock = clock.filter_map(|run| Some(run.said.as_ref()?.latency.as_ref()?.resolution_ns)).next().unwrap_or(0.0);
    let summary = &workload.summary;
    let subtitle = format!("{summary}. Logarithmic axis, lower is better; the clock's own steps are {clock:.0} ns.");
    let heading =
        Heading { title: &title, subtitle: &subtitle, entries: &entries(&names), width: WIDTH, margin: MARGIN };
    let (top, bottom) = (heading.bottom() + 60.0, HEIGHT - BELOW);
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, HEIGHT)?;
    heading.draw(&canvas)?;
    let up = Scale::logarithmic(low / 1.3, high * 1.3, bottom, top);
    let panel = (WIDTH - LEFT - MARGIN - BETWEEN * (CALLS.len() - 1) as f64) / CALLS.len() as f64;
    for (number, call) in CALLS.iter().enumerate() {
        let left = LEFT + number as f64 * (panel + BETWEEN);
        frame(&canvas, &up, (left, left + panel), (top, bottom), call.name)?;
        let column = panel / PERCENTILES.len() as f64;
        for (place, name) in names.iter().enumerate() {
            let offset = column * (0.5 + SHARE * ((place as f64 + 0.5) / names.len() as f64 - 0.5));
            let values = value(name, call).unwrap_or_default();
            let line: Vec<Place> = values
                .iter()
                .enumerate()
                .map(|(step, ns)| (left + step as f64 * column + offset, up.pixel(*ns)))
                .collect();
            let style = Style::of(name);
            for at in line {
                canvas.line((at.0, bottom), at, style.colour.mix(STEM_OPACITY), 2)?;
                canvas.mark(style.shape, at, MARK * style.weight(), style.ink())?;
            }
        }
    }
    canvas.finish()?;
    Ok(Some(svg))
}

fn frame(
    canvas: &Canvas<'_>,
    up: &Scale,
    (left, right): (f64, f64),
    (top, bottom): (f64, f64),
    call: &str,
) -> Result<()> {
    let column = (right - left) / PERCENTILES.len() as f64;
    for (number, percentile) in PERCENTILES.iter().enumerate() {
        let x = left + number as f64 * column;
        if number % 2 == 0 {
            canvas.bar((x, top), (x + column, bottom), BAND)?;
        }
        canvas.text(percentile.name, (x + column / 2.0, bottom + 24.0), Lettering::new(LETTERS, INK, Side::Middle))?;
    }
    for tick in up.ticks() {
        canvas.line((left, up.pixel(tick)), (right, up.pixel(tick)), GRID, 1)?;
        if left == LEFT {
            canvas.text(
                &duration(tick),
                (left - 12.0, up.pixel(tick)),
                Lettering::new(LETTERS, PALE_INK, Side::Left),
            )?;
        }
    }
    canvas.text(
        call,
        (f64::midpoint(left, right), top - 24.0),
        Lettering::new(LETTERS * 1.15, INK, Side::Middle).bold(),
    )?;
    let below = "percentile of all calls; max is the slowest one";
    canvas.text(
        below,
        (f64::midpoint(left, right), bottom + 60.0),
        Lettering::new(LETTERS * 0.9, PALE_INK, Side::Middle),
    )
}

/// Nanoseconds in the unit that suits them.
fn duration(nanos: f64) -> String {
    match nanos {
        _ if nanos >= 1e6 => format!("{} ms", nanos / 1e6),
        _ if nanos >= 1e3 => format!("{} µs", nanos / 1e3),
        _ => format!("{nanos} ns"),
    }
}
