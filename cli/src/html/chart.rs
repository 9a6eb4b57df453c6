//! Lines over time.

use super::{AT_HAND, LARGE, LIVE, RESIDENT, WIDTH, key};
use crate::quantity::show;
use crate::recording::Sample;

const HEIGHT: usize = 260;
const LEFT: usize = 80;
const BOTTOM: usize = 24;
const STEPS: u64 = 4;

/// What of a sample a line shows.
type Figure = fn(&Sample) -> u64;

/// Resident, obtained and live bytes, and those in bins.
pub(super) fn over_time(samples: &[Sample]) -> String {
    let lines: [(&str, &str, Figure); 4] = [
        (RESIDENT, "resident", |sample| sample.resident),
        (LARGE, "obtained for blocks", |sample| sample.obtained),
        (LIVE, "live", |sample| sample.live),
        (AT_HAND, "in bins", |sample| sample.binned),
    ];
    let most = samples.iter().flat_map(|sample| lines.map(|(_, _, value)| value(sample))).max().unwrap_or(0).max(1);
    let end = samples.last().map_or(0.0, |sample| sample.seconds).max(f64::MIN_POSITIVE);
    let x = |seconds: f64| LEFT as f64 + seconds / end * (WIDTH - LEFT - 10) as f64;
    let y = |bytes: u64| 10.0 + (1.0 - bytes as f64 / most as f64) * (HEIGHT - BOTTOM - 10) as f64;
    let mut svg = format!("<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n");
    for step in 0..=STEPS {
        let bytes = most / STEPS * step;
        let at = y(bytes);
        svg.push_str(&format!("<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dee2e6\"/>"));
        svg.push_str(&format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n", LEFT - 8, at + 4.0, show(bytes)));
    }
    for step in 0..=STEPS {
        let seconds = end / STEPS as f64 * step as f64;
        let anchor = if step == STEPS { "end" } else { "middle" };
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{seconds:.1} s</text>\n",
            x(seconds),
            HEIGHT - 6
        ));
    }
    for (colour, _, value) in lines {
        let points: Vec<_> = samples.iter().map(|sample| format!("{:.1},{:.1}", x(sample.seconds), y(value(sample)))).collect();
        svg.push_str(&format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n",
            points.join(" ")
        ));
    }
    svg.push_str("</svg>\n");
    svg + &key(&lines.map(|(colour, name, _)| (colour, name)))
}
