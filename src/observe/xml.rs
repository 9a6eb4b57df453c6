//! `malloc_info`: the snapshot in the shape of glibc's XML.

use super::snapshot::Snapshot;
use crate::base::text::Line;

/// Hands the lines of the document to `print`.
pub(crate) fn report(snapshot: &Snapshot, print: &mut dyn FnMut(&[u8])) {
    let (pages, central) = (&snapshot.pages, &snapshot.central);
    let (obtained, binned, free) = (snapshot.obtained(), snapshot.binned, snapshot.free());
    print(b"<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n");
    total(print, "fast", 0, binned);
    total(print, "rest", 0, free.saturating_sub(binned));
    current(print, obtained);
    print(b"</heap>\n");
    total(print, "fast", 0, binned);
    total(print, "rest", 0, free.saturating_sub(binned));
    total(print, "mmap", central.direct_blocks, central.direct_bytes);
    current(print, obtained);
    print(Line::new().text("<live size=\"").number(snapshot.live() as u64).text("\"/>").finish());
    print(Line::new().text("<purged size=\"").number(pages.purged as u64).text("\"/>").finish());
    print(b"</malloc>\n");
}

fn total(print: &mut dyn FnMut(&[u8]), kind: &str, count: usize, bytes: usize) {
    let mut line = Line::new();
    line.text("<total type=\"").text(kind).text("\" count=\"").number(count as u64);
    print(line.text("\" size=\"").number(bytes as u64).text("\"/>").finish());
}

fn current(print: &mut dyn FnMut(&[u8]), bytes: usize) {
    print(Line::new().text("<system type=\"current\" size=\"").number(bytes as u64).text("\"/>").finish());
    print(Line::new().text("<aspace type=\"total\" size=\"").number(bytes as u64).text("\"/>").finish());
}
