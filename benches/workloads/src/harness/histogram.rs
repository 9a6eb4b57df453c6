//! Counts of ticks in buckets that grow with what they count: 64 to a doubling, so a percentile is out by at most 1.6
//! %.
//!
//! Invariants: no allocation; a histogram is a plain array in a table.

use super::table::Table;

const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;
/// Doublings above the first `SUB` values; longer calls count as the longest bucket.
const DOUBLINGS: u64 = 34;
const BUCKETS: usize = ((DOUBLINGS + 1) * SUB) as usize;

/// Counts of one kind of call.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Table<u64>,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: Table::new(BUCKETS, |_| 0), max: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, ticks: u64) {
        self.max = self.max.max(ticks);
        self.counts[bucket(ticks)] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        for (mine, others) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += others;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The least value that at least `share` of all calls do not exceed.
    pub(crate) fn percentile(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return upper(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[inline]
fn bucket(ticks: u64) -> usize {
    let doubling = (ticks / SUB).checked_ilog2().map_or(0, |log| log + 1);
    let place = if doubling == 0 { ticks } else { u64::from(doubling) * SUB + (ticks >> (doubling - 1)) - SUB };
    (place as usize).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let (doubling, place) = (bucket as u64 / SUB, bucket as u64 % SUB);
    if doubling == 0 { place } else { ((SUB + place + 1) << (doubling - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_close_to_its_end() {
        for value in (0..100_000).chain([1 << 30, (1 << 33) + 12345]) {
            let bucket = bucket(value);
            assert!(upper(bucket) >= value, "{value}");
            assert!(bucket == 0 || upper(bucket - 1) < value, "{value}");
            assert!(upper(bucket) - value <= value / SUB, "{value}");
        }
    }

    #[test]
    fn percentiles_of_known_values() {
        let (mut low, mut high) = (Histogram::new(), Histogram::new());
        (1..=50).for_each(|value| low.add(value));
        (51..=100).for_each(|value| high.add(value));
        low.merge(&high);
        assert_eq!(low.count(), 100);
        assert_eq!(low.percentile(0.5), 50);
        assert_eq!(low.percentile(1.0), 100);
        assert_eq!(low.max(), 100);
    }
}
