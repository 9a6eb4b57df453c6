//! `malloc_info`: the snapshot in the shape of glibc's XML, and behind its elements one of our own with all figures.
//!
//! The document has one heap, number 0, for all threads: free blocks in bins are its "fast" ones.

use super::bills::HolderFigures;
use super::figures::{self, BILL, CLASS, PROCESS, SHARED};
use super::snapshot::Snapshot;
use crate::base::page::Page;

/// Writes the document.
#[inline(never)]
pub(super) fn report(snapshot: &Snapshot, page: &mut Page<'_>) {
    let obtained = snapshot.pages.used as u64;
    let binned = snapshot.binned() as u64;
    let binned_blocks = snapshot.classes.iter().map(|figures| u64::from(figures.binned)).sum();
    let rest = (snapshot.free() as u64).saturating_sub(binned);
    page.text("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    for (class, figures) in snapshot.used_classes() {
        let (size, count) = (class.size() as u64, u64::from(figures.binned));
        if count > 0 {
            page.text("<size from=\"")
                .number(size)
                .text("\" to=\"")
                .number(size)
                .text("\" total=\"")
                .number(size * count);
            page.text("\" count=\"").number(count).text("\"/>\n");
        }
    }
    page.text("</sizes>\n");
    total(page, "fast", binned_blocks, binned);
    total(page, "rest", 0, rest);
    system(page, obtained);
    page.text("</heap>\n");
    total(page, "fast", binned_blocks, binned);
    total(page, "rest", 0, rest);
    total(page, "mmap", snapshot.large.direct_blocks as u64, snapshot.large.direct_bytes as u64);
    system(page, obtained);
    page.text("<spandrel profile=\"").text(snapshot.profile).text("\"");
    for (figure, value) in PROCESS.iter().zip(figures::process(snapshot)) {
        attribute(page, figure.name(), value);
    }
    page.text(">\n");
    for (class, of_class) in snapshot.used_classes() {
        page.text("<class block_bytes=\"").number(class.size() as u64).text("\"");
        for (figure, value) in CLASS.iter().zip(figures::class(&(class, *of_class))) {
            attribute(page, figure.name(), value);
        }
        page.text("/>\n");
    }
    bills(snapshot, page);
    page.text("</spandrel>\n</malloc>\n");
}

#[inline(never)]
fn bills(snapshot: &Snapshot, page: &mut Page<'_>) {
    if snapshot.bills.heaps == 0 {
        return;
    }
    share(page.text("<default_heap"), &snapshot.default_heap());
    for heap in snapshot.bills.rows() {
        page.text("<named_heap name=").quoted_for_xml(heap.shown());
        page.text(" kind=").quoted(heap.kind());
        for (figure, value) in BILL.iter().zip(figures::bill(heap)) {
            attribute(page, figure.name(), value);
        }
        page.text("/>\n");
    }
    if let Some((heaps, sums)) = snapshot.bills.others() {
        share(page.text("<other_named_heaps heaps=\"").number(heaps as u64).text("\""), sums);
    }
}

#[inline(never)]
fn share(page: &mut Page<'_>, sums: &HolderFigures) {
    for (figure, value) in BILL.iter().zip(figures::bill(sums)).take(SHARED) {
        attribute(page, figure.name(), value);
    }
    page.text("/>\n");
}

fn attribute(page: &mut Page<'_>, name: &str, value: u64) {
    page.text(" ").text(name).text("=\"").number(value).text("\"");
}

fn total(page: &mut Page<'_>, kind: &str, count: u64, bytes: u64) {
    page.text("<total type=\"").text(kind).text("\" count=\"").number(count);
    page.text("\" size=\"").number(bytes).text("\"/>\n");
}

fn system(page: &mut Page<'_>, bytes: u64) {
    for (element, kind) in [("system", "current"), ("system", "max"), ("aspace", "total"), ("aspace", "mprotect")] {
        page.text("<").text(element).text(" type=\"").text(kind).text("\" size=\"").number(bytes).text("\"/>\n");
    }
}
