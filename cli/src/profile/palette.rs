//! Colours of a flame graph: a hue for each file that code is from, shades of it for functions; or red and blue for
//! what grew and shrank. Must not know: where anything is drawn.

/// A colour as CSS takes it.
pub(super) type Colour = String;

/// Hues that can be told from their neighbours, the most pleasant first.
const HUES: [f64; 9] = [18.0, 205.0, 140.0, 275.0, 48.0, 330.0, 175.0, 235.0, 90.0];
const SATURATION: f64 = 62.0;
/// Shades lie between these, so that black text can be read on all of them.
const LIGHTNESS: (f64, f64) = (66.0, 80.0);
/// The colour of boxes without a hue of their own.
const GREY: &str = "hsl(0 0% 78%)";

/// The hue of the file of that rank, as a legend shows it.
pub(super) fn of_rank(rank: usize) -> Colour {
    HUES.get(rank).map_or_else(|| GREY.to_owned(), |hue| hsl(*hue, SATURATION, (LIGHTNESS.0 + LIGHTNESS.1) / 2.0))
}

/// The shade of function `name` in the file of that rank.
pub(super) fn of_function(rank: usize, name: &str) -> Colour {
    const STEPS: u32 = 16;
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let share = f64::from(hash % STEPS) / f64::from(STEPS - 1);
    let lightness = LIGHTNESS.0 + (LIGHTNESS.1 - LIGHTNESS.0) * share;
    HUES.get(rank)
        .map_or_else(|| hsl(0.0, 0.0, lightness + 6.0), |hue| hsl(*hue + 8.0 * (share - 0.5), SATURATION, lightness))
}

/// Red for growth, blue for the opposite, stronger the nearer `change` is to `most`.
pub(super) fn of_change(change: i64, most: i64) -> Colour {
    const HUE_GROWN: f64 = 8.0;
    const HUE_SHRUNK: f64 = 212.0;
    if change == 0 || most == 0 {
        return hsl(0.0, 0.0, 92.0);
    }
    let strength = (change.unsigned_abs() as f64 / most.unsigned_abs() as f64).min(1.0).sqrt();
    hsl(if change > 0 { HUE_GROWN } else { HUE_SHRUNK }, 80.0, 92.0 - 30.0 * strength)
}

fn hsl(hue: f64, saturation: f64, lightness: f64) -> Colour {
    format!("hsl({hue:.0} {saturation:.0}% {lightness:.0}%)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_steady_and_tell_apart() {
        assert_eq!(of_function(0, "main"), of_function(0, "main"));
        assert_ne!(of_function(0, "main"), of_function(1, "main"));
        assert_eq!(of_rank(99), GREY);
        assert_ne!(of_change(5, 10), of_change(-5, 10));
        assert_eq!(of_change(0, 10), of_change(7, 0));
    }
}
