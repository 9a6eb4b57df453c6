//! The part of a heap that lies in huge pages by smaps, and that only one profile has any.

use super::check::{Check, Result, said, status};
use super::machine::{self, ONE_GIB, TWO_MIB};
use super::{HOOKED, PROFILES};
use crate::evidence::figures::{Figure, Found};
use harness::programs::number;
use harness::run::Outcome;

const CODE: &str = "ALLOCATOR_HUGEPAGE_POLICY";
const MIB: i64 = 1024;
/// Of what could lie in huge pages, hundredths that do at least.
const MOST: i64 = 90;

/// All of them.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        Check::new("off", "KiB in huge pages of 160 MiB", CODE, || {
            machine::unasked_obstacle().map_or_else(|| exactly("off", "160", 0, 0), impossible)
        }),
        Check::new("madvise", "the same, behind the first 2 MiB", CODE, || advised("madvise", 160, 2)),
        Check::new("madvise.small-heap", "of 1 MiB", CODE, || {
            machine::unasked_obstacle().map_or_else(|| exactly("madvise", "1", 0, 0), impossible)
        }),
        Check::new("thp", "KiB in huge pages of 160 MiB", CODE, || advised("thp", 160, 4)),
        Check::new("hugetlb", "of 60 MiB, 64 explicit huge pages being set aside", CODE, || {
            explicit(TWO_MIB, 64, "hugetlb", Some((60, 128)), 0)
        }),
        Check::new("hugetlb.too-few", "the same, 8 being set aside", CODE, || {
            explicit(TWO_MIB, 8, "hugetlb", Some((16, 16)), 1)
        }),
        Check::new("hugetlb.none", "the same, none being set aside", CODE, || explicit(TWO_MIB, 0, "hugetlb", None, 1)),
        Check::new("hugetlb-1g", "the same, one of 1 GiB being set aside", CODE, || {
            explicit(ONE_GIB, 1, "hugetlb-1g", Some((1024, 1024)), 0)
        }),
        Check::new("hugetlb-1g.none", "the same, none being set aside", CODE, || {
            explicit(ONE_GIB, 0, "hugetlb-1g", None, 1)
        }),
    ];
    for profile in PROFILES.into_iter().filter(|profile| *profile != HOOKED) {
        let what = "every policy is refused: one line each, and no huge pages";
        checks.push(Check::new(format!("refused.{profile}"), what, CODE, move || refused(profile)).quick());
    }
    checks
}

fn impossible(why: String) -> Result<Found> {
    Ok(Found::Impossible(why))
}

/// The program ends without a free.
fn huge(policy: &str, profile: &str, mebibytes: &str) -> Result<Outcome> {
    let options = [("SPANDREL_PROFILE", profile), ("SPANDREL_HUGEPAGES", policy), ("SPANDREL_LEAKS", "0")];
    // A second: what is found does not depend on how long this machine takes for a huge page.
    let environment = [options.as_slice(), &[("SPANDREL_HUGEPAGES_WITHIN", "1000000")]].concat();
    super::check::run("huge.c", &[mebibytes, "none", "500"], &environment)
}

fn exactly(policy: &str, mebibytes: &str, kib: i64, lines: i64) -> Result<Found> {
    let outcome = huge(policy, HOOKED, mebibytes)?;
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(0),
        Figure::number("lines", said(&outcome, CODE, policy)).is(lines),
        Figure::number("huge", number(&outcome, "full_huge")?).is(kib),
    ]))
}

/// All but the first part lies in huge pages, but for a margin.
fn advised(policy: &str, mebibytes: i64, without: i64) -> Result<Found> {
    if let Some(why) = machine::thp_obstacle() {
        return impossible(why);
    }
    let outcome = huge(policy, HOOKED, &mebibytes.to_string())?;
    outcome.clean()?;
    let least = (mebibytes - without) * MIB * MOST / 100;
    Ok(Found::Figures(vec![
        Figure::number("lines", 0).is(0),
        Figure::number("huge", number(&outcome, "full_huge")?).at_least(least).near(5, 4 * MIB),
    ]))
}

/// Between so many MiB lie in explicit huge pages, if any; one line tells when there are too few.
fn explicit(kind: &str, count: u64, policy: &str, bounds: Option<(i64, i64)>, lines: i64) -> Result<Found> {
    let pages = machine::explicit_pages(kind, count);
    // None can be set aside where there is no such kind.
    if let (Err(why), true) = (&pages, count > 0) {
        return impossible(why.clone());
    }
    let outcome = huge(policy, HOOKED, "60")?;
    let (least, most) = bounds.map_or((0, 0), |(least, most)| (least * MIB, most * MIB));
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(0),
        Figure::number("lines", said(&outcome, CODE, "no huge page left")).is(lines),
        Figure::number("huge", number(&outcome, "full_huge")?).within(least, most),
    ]))
}

fn refused(profile: &str) -> Result<Found> {
    let (mut lines, mut kib) = (0, 0);
    let policies = ["madvise", "thp", "hugetlb", "hugetlb-1g"];
    for policy in policies {
        let outcome = huge(policy, profile, "40")?;
        lines += said(&outcome, CODE, &format!("SPANDREL_HUGEPAGES={policy}"));
        kib += number(&outcome, "full_huge")?;
    }
    if let Some(why) = machine::unasked_obstacle() {
        return impossible(why);
    }
    Ok(Found::Figures(vec![
        Figure::number("lines", lines).is(policies.len() as i64),
        Figure::number("huge", kib).is(0),
    ]))
}
