//! `malloc_stats`: the snapshot as lines of text.

use super::snapshot::Snapshot;
use crate::base::text::Line;
use crate::sys::memory;

/// Hands the lines of the report to `print`.
pub(crate) fn report(snapshot: &Snapshot, print: &mut dyn FnMut(&[u8])) {
    let (pages, central) = (&snapshot.pages, &snapshot.central);
    let rows: [(&str, u64); 17] = [
        ("live bytes", snapshot.live() as u64),
        ("obtained bytes", snapshot.obtained() as u64),
        ("free in bins bytes", snapshot.binned as u64),
        ("free in transfer caches bytes", central.cached as u64),
        ("spans bytes", central.span_bytes as u64),
        ("large blocks", central.large_blocks as u64),
        ("large bytes", central.large_bytes as u64),
        ("direct blocks", central.direct_blocks as u64),
        ("direct bytes", central.direct_bytes as u64),
        ("dirty runs bytes", pages.dirty as u64),
        ("clean runs bytes", pages.clean as u64),
        ("metadata bytes", pages.metadata as u64),
        ("purges", pages.purges as u64),
        ("purged bytes", pages.purged as u64),
        ("heaps", snapshot.heaps as u64),
        ("refills", snapshot.refills),
        ("flushes", snapshot.flushes),
    ];
    print(Line::new().text("spandrel: stats: profile ").text(snapshot.profile).finish());
    let mut row =
        |name: &str, value: u64| print(Line::new().text("spandrel: stats: ").text(name).text(" ").number(value).finish());
    for (name, value) in rows {
        row(name, value);
    }
    memory::calls().for_each(|(name, count)| row(name, count));
}
