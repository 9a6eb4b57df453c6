//! Memory control: profiles, huge pages, limits. Wishes that are granted can be seen from outside; a refused one gets
//! one line.

use std::fs;
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::diag;
use harness::expect::End;
use harness::header::Variant;
use harness::programs::{Program, number};
use harness::run::Outcome;
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

const THP: &str = "/sys/kernel/mm/transparent_hugepage";
const PROFILES: [&str; 6] =
    ["hosted-small", "hosted-server", "freestanding", "realtime", "compiler-internal", "test-fixture"];
const HOOKED: &str = "hosted-server";

fn program<'a>(file: &'a str, arguments: &'a [&'a str], environment: &'a [(&'a str, &'a str)]) -> Program<'a> {
    Program { file, arguments, environment, timeout: 60 }
}

/// The profile in the report of a process.
fn profile_in_force(environment: &[(&str, &str)]) -> Result<(Outcome, String), String> {
    let environment = [environment, &[("SPANDREL_DIAG", "1")]].concat();
    let outcome = program("workload.c", &["1", "2"], &environment).run()?;
    let profile = diag::parse(&outcome.stderr)?.profile;
    Ok((outcome, profile))
}

fn every_profile_is_reported() -> Result<(), String> {
    for name in PROFILES {
        let (outcome, profile) = profile_in_force(&[("SPANDREL_PROFILE", name)])?;
        outcome.clean()?;
        if profile != name {
            return Err(format!("{name} runs as {profile}"));
        }
    }
    Ok(())
}

fn an_unknown_profile_is_reported_once() -> Result<(), String> {
    let (outcome, profile) = profile_in_force(&[("SPANDREL_PROFILE", "hosted-huge")])?;
    if profile != "hosted-small" {
        return Err(format!("fell back to {profile}"));
    }
    outcome.one_line("ALLOCATOR_BAD_OPTION", "SPANDREL_PROFILE=hosted-huge")
}

const REAL: [&[&str]; 3] = [
    &["sh", "-c", "seq 1 3000 | sort -r | head -5; ls / | wc -l"],
    &[
        "perl",
        "-e",
        "my %h; for my $i (1..30000) { $h{$i % 977} .= 'ab' x ($i % 13); } print length join('', map { $h{$_} } sort keys %h)",
    ],
    &[
        "python3",
        "-c",
        "import threading; x = [bytes(n) for n in range(5000)]; t = threading.Thread(target=x.clear); t.start(); t.join(); print(len(x))",
    ],
];

/// Real programs print in every profile exactly what they print without the library. Leaks of theirs do not count here.
fn every_profile_runs_real_programs() -> Result<(), String> {
    for words in REAL.iter().filter(|words| paths::find_program(words[0]).is_some()) {
        let plain = run::run(run::command(words[0]).args(&words[1..]), 30)?;
        for profile in PROFILES {
            let mut command = run::preloaded(words[0])?;
            command.args(&words[1..]).env("SPANDREL_PROFILE", profile).env("SPANDREL_LEAKS", "0");
            let ours = run::run(&mut command, 30)?;
            ours.clean()?;
            if ours.stdout != plain.stdout {
                return Err(format!("{profile} differs\n{ours}\n--- without the library\n{plain}"));
            }
        }
    }
    Ok(())
}

/// `test-fixture` gives the same addresses in each run; without it they differ, which shows that the program sees it.
fn fixtures_have_the_same_addresses_in_each_run() -> Result<(), String> {
    let sum = |profile| number(&program("addresses.c", &[], &[("SPANDREL_PROFILE", profile)]).run_clean()?, "sum");
    let [one, two, three] = [sum("test-fixture")?, sum("test-fixture")?, sum("test-fixture")?];
    let elsewhere = [sum("hosted-small")?, sum("hosted-small")?];
    if one != two || two != three {
        return Err("addresses differ from run to run".to_owned());
    }
    if elsewhere[0] == elsewhere[1] {
        Err("addresses are the same in any profile: nothing is shown".to_owned())
    } else {
        Ok(())
    }
}

fn thp_setting() -> String {
    fs::read_to_string(format!("{THP}/enabled")).unwrap_or_default()
}

/// The reason why the kernel gives no huge pages by advice here.
fn thp_obstacle() -> Option<String> {
    let setting = thp_setting();
    let on = setting.contains("[madvise]") || setting.contains("[always]");
    (!on).then(|| format!("{THP}/enabled is `{}`", setting.trim()))
}

/// The reason why this machine cannot show that huge pages are off.
fn always_obstacle() -> Option<String> {
    thp_setting().contains("[always]").then(|| format!("{THP}/enabled is always: every program has huge pages"))
}

/// A second: however long this machine takes for a huge page, it is quick enough.
const ANY_TIME: (&str, &str) = ("SPANDREL_HUGEPAGES_WITHIN", "1000000");

fn huge(policy: &str, profile: &str, mebibytes: &str) -> Result<Outcome, String> {
    huge_within(ANY_TIME, policy, profile, mebibytes)
}

fn huge_within(within: (&str, &str), policy: &str, profile: &str, mebibytes: &str) -> Result<Outcome, String> {
    // The program ends without a free.
    let environment = [("SPANDREL_PROFILE", profile), ("SPANDREL_HUGEPAGES", policy), ("SPANDREL_LEAKS", "0"), within];
    program("huge.c", &[mebibytes, "none", "500"], &environment).run()
}

fn huge_kib(outcome: &Outcome) -> Result<i64, String> {
    outcome.clean()?;
    number(outcome, "full_huge")
}

fn large_heaps_get_huge_pages() -> Result<(), String> {
    let outcome = huge("madvise", HOOKED, "160")?;
    // All but the first 2 MiB, but for a margin.
    let wanted = (160 - 2) * 1024 * 9 / 10;
    if huge_kib(&outcome)? >= wanted { Ok(()) } else { Err(format!("less than {wanted} KiB of huge pages\n{outcome}")) }
}

/// Where no huge page is quick enough, a heap has those by which the time was found, one for each commit.
fn slow_huge_pages_are_not_asked_for() -> Result<(), String> {
    let outcome = huge_within(("SPANDREL_HUGEPAGES_WITHIN", "0"), "madvise", HOOKED, "160")?;
    let kib = huge_kib(&outcome)?;
    if kib == 0 {
        return Err(format!("no huge page was tried\n{outcome}"));
    }
    if kib <= 160 * 1024 / 2 { Ok(()) } else { Err(format!("{kib} KiB of huge pages\n{outcome}")) }
}

fn small_heaps_get_none_by_madvise_and_some_by_thp() -> Result<(), String> {
    let small = huge("madvise", HOOKED, "1")?;
    if huge_kib(&small)? != 0 {
        return Err(format!("a small heap has huge pages\n{small}"));
    }
    let early = huge("thp", HOOKED, "12")?;
    if huge_kib(&early)? >= 8 * 1024 { Ok(()) } else { Err(format!("no huge pages from the start\n{early}")) }
}

fn huge_pages_are_off_by_default() -> Result<(), String> {
    let outcome = huge("off", HOOKED, "160")?;
    if huge_kib(&outcome)? == 0 { Ok(()) } else { Err(format!("huge pages unasked\n{outcome}")) }
}

fn other_profiles_refuse() -> Result<(), String> {
    for profile in PROFILES.into_iter().filter(|&profile| profile != HOOKED) {
        for policy in ["madvise", "thp", "hugetlb", "hugetlb-1g"] {
            let outcome = huge(policy, profile, "40")?;
            outcome.one_line("ALLOCATOR_HUGEPAGE_POLICY", &format!("SPANDREL_HUGEPAGES={policy}"))?;
            if number(&outcome, "full_huge")? != 0 {
                return Err(format!("refused, and yet there are huge pages\n{outcome}"));
            }
        }
    }
    Ok(())
}

/// A setting of the kernel's, restored when this is dropped.
struct Setting {
    path: String,
    before: String,
}

impl Setting {
    fn set(path: &str, value: &str) -> Result<Self, String> {
        let before = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        fs::write(path, value).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { path: path.to_owned(), before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, self.before.trim()) {
            eprintln!("{} could not be put back to {}: {error}", self.path, self.before.trim());
        }
    }
}

/// Makes the kernel's collector of huge pages hurry until this is dropped.
fn hurried_collector() -> Result<[Setting; 2], String> {
    Ok([
        Setting::set(&format!("{THP}/khugepaged/scan_sleep_millisecs"), "50")?,
        Setting::set(&format!("{THP}/khugepaged/pages_to_scan"), "100000")?,
    ])
}

/// The reason why the collector cannot be hurried.
fn collector_obstacle() -> Option<String> {
    thp_obstacle().or_else(|| hurried_collector().err())
}

/// Purged pages stay purged, however eager the kernel is to fill up huge pages.
fn purged_pages_stay_away() -> Result<(), String> {
    let _hurried = hurried_collector()?;
    let environment = [("SPANDREL_PROFILE", HOOKED), ("SPANDREL_HUGEPAGES", "madvise"), ANY_TIME];
    for freed in ["all", "most"] {
        for size in ["500", "100000"] {
            let outcome = program("huge.c", &["200", freed, size], &environment).run_clean()?;
            let [trimmed, late] = [number(&outcome, "trimmed_rss")?, number(&outcome, "late_rss")?];
            if late > trimmed + 4 * 1024 {
                return Err(format!("the kernel filled up {} KiB that were given back\n{outcome}", late - trimmed));
            }
            if freed == "all" && trimmed > 40 * 1024 {
                return Err(format!("{trimmed} KiB stay of an empty heap\n{outcome}"));
            }
        }
    }
    Ok(())
}

const HUGETLB: &str = "/sys/kernel/mm/hugepages";
const TWO_MIB: &str = "hugepages-2048kB";
const ONE_GIB: &str = "hugepages-1048576kB";

/// Makes the kernel set `count` explicit huge pages aside; an error if it has fewer.
fn explicit_pages(kind: &str, count: u64) -> Result<Setting, String> {
    let path = format!("{HUGETLB}/{kind}/nr_hugepages");
    let setting = Setting::set(&path, &count.to_string())?;
    let got = fs::read_to_string(&path).unwrap_or_default();
    if got.trim() == count.to_string() {
        Ok(setting)
    } else {
        Err(format!("the kernel sets {} {kind} aside", got.trim()))
    }
}

fn explicit_pages_are_used() -> Result<(), String> {
    let _pages = explicit_pages(TWO_MIB, 64)?;
    let outcome = huge("hugetlb", HOOKED, "60")?;
    if huge_kib(&outcome)? < 60 * 1024 {
        return Err(format!("less than 60 MiB of explicit huge pages\n{outcome}"));
    }
    // No page goes back, and all of them are reused.
    let environment = [("SPANDREL_PROFILE", HOOKED), ("SPANDREL_HUGEPAGES", "hugetlb"), ("SPANDREL_PURGE_DELAY", "0")];
    let outcome = program("huge.c", &["60", "all", "100000"], &environment).run_clean()?;
    if number(&outcome, "late_huge")? == number(&outcome, "full_huge")? {
        Ok(())
    } else {
        Err(format!("huge pages were given back\n{outcome}"))
    }
}

fn giant_pages_are_used() -> Result<(), String> {
    let _pages = explicit_pages(ONE_GIB, 1)?;
    let outcome = huge("hugetlb-1g", HOOKED, "60")?;
    if huge_kib(&outcome)? == 1024 * 1024 { Ok(()) } else { Err(format!("no huge page of 1 GiB\n{outcome}")) }
}

/// With too few, or none, ordinary pages follow, and one line reports it.
fn too_few_explicit_pages_fall_back() -> Result<(), String> {
    for (policy, count) in [("hugetlb", 8), ("hugetlb", 0), ("hugetlb-1g", 0)] {
        let _pages = explicit_pages(TWO_MIB, count)?;
        let outcome = huge(policy, HOOKED, "60")?;
        outcome.one_line("ALLOCATOR_HUGEPAGE_POLICY", "no huge page left")?;
        let (wanted, got) = (if policy == "hugetlb" { count as i64 * 2048 } else { 0 }, number(&outcome, "full_huge")?);
        if got != wanted || number(&outcome, "full_rss")? < 60 * 1024 - wanted {
            return Err(format!("expected {wanted} KiB of huge pages\n{outcome}"));
        }
    }
    Ok(())
}

fn faults(prefault: &str, arguments: &[&str]) -> Result<i64, String> {
    let environment = [("SPANDREL_PREFAULT", prefault)];
    number(&program("faults.c", arguments, &environment).run_clean()?, "faults")
}

/// 64 MiB of fresh blocks fault page by page, or not at all.
fn prefault_avoids_faults() -> Result<(), String> {
    const PAGES: i64 = 64 * 256;
    for size in ["500", "100000", "40000000"] {
        let without = faults("off", &[size])?;
        if size != "500" && without < PAGES / 4 {
            return Err(format!("only {without} faults for fresh blocks of {size} bytes: nothing to spare"));
        }
        for (way, arguments) in [("touch", vec![size]), ("populate", vec![size]), ("populate", vec![size, "old"])] {
            let with = faults(way, &arguments)?;
            if with > 100 {
                return Err(format!("{with} faults in blocks of {size} bytes, {way} {arguments:?}; {without} without"));
            }
        }
    }
    Ok(())
}

/// A control group of memory (version 1) with a limit, removed when this goes.
struct Group(String);

impl Group {
    fn new(bytes: u64) -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let own =
            own.lines().find_map(|line| line.split_once(":memory:")).ok_or("no memory controller of version 1")?.1;
        let path = format!("/sys/fs/cgroup/memory{own}/spandrel-{}", std::process::id());
        fs::create_dir(&path).map_err(|error| format!("{path}: {error}"))?;
        let group = Self(path);
        fs::write(format!("{}/memory.limit_in_bytes", group.0), bytes.to_string())
            .map_err(|error| error.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} stays: {error}", self.0);
        }
    }
}

/// In a group of 64 MiB the program gets ENOMEM and lives, where without the limit the kernel kills it.
fn containers_limit() -> Result<(), String> {
    let group = Group::new(64 << 20)?;
    let program = build::program(&Source::new(paths::program_source("greedy.c")), Variant::Preload)?;
    for limit in ["none", "container"] {
        let mut command = run::preloaded("sh")?;
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\"", group.0);
        command.args(["-c", &script]).arg(&program).env("SPANDREL_HARD_LIMIT", limit);
        let outcome = run::run(&mut command, 30)?;
        if limit == "none" && outcome.end != End::Signal(libc::SIGKILL) {
            return Err(format!("no limit stopped the program\n{outcome}"));
        }
        if limit == "container" {
            outcome.one_line("ALLOCATOR_PAGE_EXHAUSTION", "hard limit")?;
            let got = number(&outcome, "mebibytes")?;
            if !(48..=60).contains(&got) {
                return Err(format!("{got} MiB of 64\n{outcome}"));
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let group = Group::new(64 << 20).err();
    let explicit = |kind, count| explicit_pages(kind, count).err();
    let thp = thp_obstacle();
    run_cases(
        vec![
            case("every_profile_is_reported", every_profile_is_reported),
            case("every_profile_runs_real_programs", every_profile_runs_real_programs),
            case("an_unknown_profile_is_reported_once", an_unknown_profile_is_reported_once),
            case("fixtures_have_the_same_addresses_in_each_run", fixtures_have_the_same_addresses_in_each_run),
            case_if(thp.clone(), "large_heaps_get_huge_pages", large_heaps_get_huge_pages),
            case_if(thp.clone(), "slow_huge_pages_are_not_asked_for", slow_huge_pages_are_not_asked_for),
            case_if(
                thp.clone(),
                "small_heaps_get_none_by_madvise_and_some_by_thp",
                small_heaps_get_none_by_madvise_and_some_by_thp,
            ),
            case_if(always_obstacle(), "huge_pages_are_off_by_default", huge_pages_are_off_by_default),
            case_if(always_obstacle(), "other_profiles_refuse", other_profiles_refuse),
            case_if(collector_obstacle(), "purged_pages_stay_away", purged_pages_stay_away),
            case("prefault_avoids_faults", prefault_avoids_faults),
            case_if(explicit(TWO_MIB, 64), "explicit_pages_are_used", explicit_pages_are_used),
            case_if(explicit(ONE_GIB, 1), "giant_pages_are_used", giant_pages_are_used),
            case_if(explicit(TWO_MIB, 8), "too_few_explicit_pages_fall_back", too_few_explicit_pages_fall_back),
            case_if(group, "containers_limit", containers_limit),
        ],
        true,
    )
}
