//! Lines over time, in colours of the page.

use super::WIDTH;
use crate::quantity::show;
use crate::recording::Sample;

const HEIGHT: usize = 300;
const LEFT: usize = 80;
const RIGHT: usize = 12;
const BOTTOM: usize = 28;
const TOP: usize = 10;
/// Lines across, besides the one of nothing.
const STEPS: usize = 5;

/// The value of a sample that a line shows, in bytes.
type Figure = fn(&Sample) -> u64;

/// Names, classes of the page's style, and values of the lines; the first one is filled.
const LINES: [(&str, &str, Figure); 4] = [
    ("live", "live", |sample| sample.live),
    ("obtained for blocks", "obtained", |sample| sample.obtained),
    ("resident", "resident", |sample| sample.resident),
    ("in bins", "binned", |sample| sample.binned),
];

/// Resident and obtained bytes, and those in bins, above the live ones.
pub(super) fn over_time(samples: &[Sample]) -> String {
    let first = samples.first().map_or(0.0, |sample| sample.seconds);
    let seconds = samples.last().map_or(0.0, |sample| sample.seconds - first).max(f64::MIN_POSITIVE);
    let most = samples.iter().flat_map(|sample| LINES.map(|(.., figure)| figure(sample))).max().unwrap_or(0);
    let step = round_up(most / STEPS as u64 + 1);
    let top = step * STEPS as u64;
    let (width, height) = ((WIDTH - LEFT - RIGHT) as f64, (HEIGHT - TOP - BOTTOM) as f64);
    let x = |time: f64| LEFT as f64 + (time - first) / seconds * width;
    let y = |bytes: u64| TOP as f64 + height * (1.0 - bytes as f64 / top as f64);
    let mut svg = format!("<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n");
    for number in 0..=STEPS {
        let bytes = step * number as u64;
        svg += &format!(
            "<path class=\"grid\" d=\"M{LEFT} {0:.1}H{1}\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>\n",
            y(bytes),
            WIDTH - RIGHT,
            LEFT - 8,
            y(bytes) + 4.0,
            show(bytes)
        );
        let time = first + seconds * number as f64 / STEPS as f64;
        let anchor = if number == STEPS { "end" } else { "middle" };
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{:.1} s</text>\n",
            x(time),
            HEIGHT - 8,
            time - first
        );
    }
    for (index, (name, class, figure)) in LINES.into_iter().enumerate() {
        let points: Vec<_> =
            samples.iter().map(|sample| format!("{:.1} {:.1}", x(sample.seconds), y(figure(sample)))).collect();
        let path = format!("M{}", points.join("L"));
        let (path, class) = match index {
            0 => (format!("{path}L{:.1} {:.1}L{LEFT} {:.1}Z", x(first + seconds), y(0), y(0)), format!("area {class}")),
            _ => (path, format!("line {class}")),
        };
        svg += &format!("<g><title>{name}</title><path class=\"{class}\" d=\"{path}\"/></g>\n");
    }
    let key: String = LINES.iter().map(|(name, class, _)| format!("<i class=\"{class}\"></i>{name}")).collect();
    format!("{svg}</svg>\n<p class=\"key\">{key}</p>\n")
}

/// The next number that is a power of two, or one and a half of it.
fn round_up(bytes: u64) -> u64 {
    let above = bytes.next_power_of_two();
    if above / 4 * 3 >= bytes { above / 4 * 3 } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([1, 3, 5, 6, 7, 1000, 1600].map(round_up), [1, 3, 6, 6, 8, 1024, 2048]);
    }

    #[test]
    fn lines_reach_from_edge_to_edge() {
        let sample = |seconds, live| Sample { seconds, live, resident: 2 * live, ..Sample::default() };
        let svg = over_time(&[sample(1.0, 100), sample(3.0, 200)]);
        assert!(svg.contains(&format!("M{LEFT}.0 ")) && svg.contains(&format!("L{}.0 ", WIDTH - RIGHT)), "{svg}");
        assert!(svg.contains("2.0 s") && !svg.contains("NaN"));
    }
}
