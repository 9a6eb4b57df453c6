//! The report of `SPANDREL_DIAG`: which lane served how many calls, and why libc served some.

use crate::base::class::Class;
use crate::base::lane::Lane;
use crate::base::text::Line;
use crate::process::tally::{Count, Reason, Tally};

const LANES: [Lane; Lane::SERVING] = [Lane::Small, Lane::Large, Lane::Direct, Lane::Libc];

fn start() -> Line {
    let mut line = Line::new();
    line.text("spandrel: diag: ");
    line
}

/// Hands the lines of the report to `print`.
pub(crate) fn report(profile: &str, tally: &Tally, print: &mut dyn FnMut(&[u8])) {
    print(start().text("profile=").text(profile).finish());
    for lane in LANES {
        let (calls, bytes) = tally.served(lane).map_or((0, 0), |count| (count.calls(), count.bytes()));
        let mut line = start();
        print(
            line.text("lane=").text(lane.name()).text(" calls=").number(calls).text(" bytes=").number(bytes).finish(),
        );
    }
    for (reason, name) in Reason::ALL {
        let calls = tally.reason(reason).map_or(0, Count::calls);
        print(start().text("reason=").text(name.text()).text(" calls=").number(calls).finish());
    }
    for lane in LANES {
        let calls = tally.freed(lane).map_or(0, Count::calls);
        print(start().text("free lane=").text(lane.name()).text(" calls=").number(calls).finish());
    }
    let (low, high) = tally.range();
    let (calls, libc) = tally.proof();
    let proved = if calls > 0 && libc == 0 { "yes" } else { "no" };
    let mut line = start();
    line.text("range=").number(low as u64).text("-").number(high as u64).text(" calls=").number(calls);
    line.text(" spandrel=").number(calls - libc).text(" libc=").number(libc).text(" proved=").text(proved);
    print(line.finish());
}

/// Hands `print` the bytes asked for and given by class: by how much blocks were larger than their requests.
pub(crate) fn report_classes(tally: &Tally, print: &mut dyn FnMut(&[u8])) {
    for class in Class::all() {
        let Some(count) = tally.of_class(class).filter(|count| count.calls() > 0) else { continue };
        let given = count.calls() * class.size() as u64;
        let mut line = start();
        line.text("class=").number(class.size() as u64).text(" calls=").number(count.calls());
        line.text(" requested=").number(count.bytes()).text(" given=").number(given);
        print(line.text(" unused=").number(given.saturating_sub(count.bytes())).finish());
    }
}
