//! The judgement of a run, by its end, its output and its memory.
//!
//! Knows: the rules. Must not know: how a run is made.

use crate::sample::Sample;
use std::fmt;

/// Resident memory of the last third may be so much above that of the first and what more is live: a quarter, and a few
/// megabytes, because blocks come in all sizes.
const GROWTH: f64 = 1.25;
const GROWTH_BYTES: f64 = 16.0 * 1024.0 * 1024.0;
/// Below this there are no thirds to compare.
const FEWEST_SAMPLES: usize = 9;
/// Nor are there within so many seconds, a few purge delays: until then memory may well rise, and on a busy machine it
/// does.
const SHORTEST: f64 = 2.0;
/// A scenario has filled up when so much of what is usually live is live.
const FILLED: f64 = 0.9;

/// A fault that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word: what the driver calls it, or `growth`, `bound`, `diagnostic`, `hang`, `signal`, `status`, `proof`.
    pub kind: String,
    /// One line.
    pub text: String,
}

impl Failure {
    /// A failure of that kind.
    pub fn new(kind: &str, text: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.kind, self.text)
    }
}

/// The first finding of the driver, or the first diagnostic of the allocator's that is none of `codes`.
pub fn said(stderr: &str, codes: &[&str]) -> Option<Failure> {
    let found = stderr.lines().filter_map(|line| line.strip_prefix("stress: ")).find_map(|line| line.split_once(": "));
    if let Some((kind, text)) = found {
        return Some(Failure::new(kind, text));
    }
    if let Some(line) = stderr.lines().find(|line| line.contains(": CHECK(")) {
        return Some(Failure::new("check", line));
    }
    let ours = stderr.lines().filter(|line| line.starts_with("spandrel: "));
    let mut unasked = ours.filter(|line| !codes.iter().any(|code| line.starts_with(&format!("spandrel: {code}: "))));
    unasked.next().map(|line| Failure::new("diagnostic", line))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Says if resident memory is rising beyond what is live: the medians of the last third against those of the first,
/// once the scenario has filled up. Threads and blocks that it starts with are there before the first sample.
pub fn growth(samples: &[Sample]) -> Option<Failure> {
    let of =
        |part: &[Sample], value: fn(&Sample) -> u64| median(part.iter().map(|sample| value(sample) as f64).collect());
    let usual = of(samples, |sample| sample.live);
    let filled = samples.iter().position(|sample| sample.live as f64 >= usual * FILLED).unwrap_or(0);
    let samples = &samples[filled..];
    let seconds = samples.last().zip(samples.first()).map_or(0.0, |(last, first)| last.seconds - first.seconds);
    if samples.len() < FEWEST_SAMPLES || seconds < SHORTEST {
        return None;
    }
    let third = samples.len() / 3;
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    let resident = (of(first, |sample| sample.resident), of(last, |sample| sample.resident));
    let live = (of(first, |sample| sample.live), of(last, |sample| sample.live));
    let allowed = (resident.0 + (live.1 - live.0).max(0.0)) * GROWTH + GROWTH_BYTES;
    (resident.1 > allowed).then(|| {
        let [before, after, live_before, live_after] = [resident.0, resident.1, live.0, live.1].map(mib);
        let text = format!(
            "resident memory rises: {before:.1} MiB in the first third ({live_before:.1} live), {after:.1} MiB in the last ({live_after:.1} live)"
        );
        Failure::new("growth", text)
    })
}

/// Says if more was resident than `bound` MiB and the same allowance.
pub fn excess(samples: &[Sample], bound: u32) -> Option<Failure> {
    let (resident, most) = (Peaks::of(samples).resident, f64::from(bound) * GROWTH + mib(GROWTH_BYTES));
    (resident > most)
        .then(|| Failure::new("bound", format!("{resident:.1} MiB are resident and {bound} MiB are the limit")))
}

/// The most that was live and resident at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peaks {
    /// In MiB.
    pub live: f64,
    /// In MiB, without what the checker itself has.
    pub resident: f64,
}

impl Peaks {
    /// Of these samples.
    pub fn of(samples: &[Sample]) -> Self {
        let most = |value: fn(&Sample) -> u64| samples.iter().map(value).max().unwrap_or(0) as f64;
        Self { live: mib(most(|sample| sample.live)), resident: mib(most(|sample| sample.resident)) }
    }

    /// How many times the live bytes are resident; 0 where nothing was live.
    pub fn ratio(&self) -> f64 {
        if self.live > 0.0 { self.resident / self.live } else { 0.0 }
    }
}

/// Bytes in MiB.
pub fn mib(bytes: f64) -> f64 {
    bytes / (1024.0 * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(resident: impl Fn(usize) -> u64) -> Vec<Sample> {
        let at = |at| Sample {
            seconds: at as f64 / 20.0,
            resident: resident(at) << 20,
            live: 30 << 20,
            ..Sample::default()
        };
        (0..90).map(at).collect()
    }

    #[test]
    fn a_level_line_passes_and_a_rising_one_does_not() {
        assert_eq!(growth(&series(|_| 50)), None);
        assert_eq!(growth(&series(|at| if at < 5 { 3 } else { 60 + at as u64 % 7 })), None);
        let found = growth(&series(|at| 50 + at as u64)).unwrap();
        let text =
            "growth: resident memory rises: 65.0 MiB in the first third (30.0 live), 125.0 MiB in the last (30.0 live)";
        assert_eq!(found.to_string(), text);
        assert_eq!(growth(&series(|at| 50 + 20 * at as u64)[..8]), None);
        assert_eq!(growth(&series(|at| 50 + 20 * at as u64)[..30]), None, "a second and a half");
    }

    #[test]
    fn what_rises_with_the_live_bytes_is_no_growth() {
        let mut samples = series(|at| 50 + at as u64);
        for (at, sample) in samples.iter_mut().enumerate() {
            sample.live = (40 + at as u64) << 20;
        }
        assert_eq!(growth(&samples), None);
    }

    #[test]
    fn filling_up_slowly_is_no_growth_but_what_comes_after_is() {
        let slow = |after: fn(usize) -> u64| {
            let mut samples = series(|at| if at < 40 { at as u64 } else { after(at) });
            for (at, sample) in samples.iter_mut().enumerate() {
                sample.live = (at.min(40) as u64) << 20;
            }
            samples
        };
        assert_eq!(growth(&slow(|_| 100)), None);
        assert!(growth(&slow(|at| 100 + at as u64 * 2)).is_some());
    }

    #[test]
    fn a_crowd_that_is_there_passes_unless_memory_goes_on_rising() {
        // As of ten thousand threads with a kilobyte each, whose heaps are far more.
        let crowd = |resident: fn(usize) -> u64| {
            let mut samples = series(resident);
            samples.iter_mut().for_each(|sample| sample.live = 2 << 20);
            samples
        };
        assert_eq!(growth(&crowd(|at| 300 + at as u64 % 9)), None);
        assert!(growth(&crowd(|at| 300 + 2 * at as u64)).is_some());
    }

    #[test]
    fn one_spike_is_no_growth_but_is_a_peak() {
        let samples = series(|at| if at == 80 { 500 } else { 45 });
        assert_eq!(growth(&samples), None);
        let peaks = Peaks::of(&samples);
        assert_eq!((peaks.live, peaks.resident), (30.0, 500.0));
        assert!((peaks.ratio() - 500.0 / 30.0).abs() < 1e-9);
        assert_eq!(Peaks::default().ratio(), 0.0);
    }

    #[test]
    fn a_limit_is_a_limit() {
        assert_eq!(excess(&series(|_| 70), 64), None);
        assert_eq!(excess(&series(|at| if at == 3 { 100 } else { 60 }), 64).unwrap().kind, "bound");
    }

    #[test]
    fn what_was_said_is_read() {
        assert_eq!(said("noise\nstress: leak: 5 bytes: more\n", &[]), Some(Failure::new("leak", "5 bytes: more")));
        assert_eq!(said("a.c:3: CHECK(x) failed, errno 0, detail 0\n", &[]).unwrap().kind, "check");
        let line = "spandrel: ALLOCATOR_EXHAUSTION: out of memory or address space";
        assert_eq!(said(line, &["ALLOCATOR_EXHAUSTION"]), None);
        assert_eq!(said(line, &["ALLOCATOR_PAGE_EXHAUSTION"]), Some(Failure::new("diagnostic", line)));
        assert_eq!(said("", &[]), None);
    }
}
