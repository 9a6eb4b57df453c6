//! The scenarios, and in which profiles each is run.
//!
//! Knows: names, environments, what the machine must have for them. Must not know: how a run is made or judged.

use crate::run::Order;
use harness::paths;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// A sign that has to show outside while a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Some of its memory is in huge pages.
    HugePages,
    /// Its list of mappings per node names this policy.
    NodePolicy(&'static str),
}

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its heading in pictures.
    pub title: &'static str,
    /// The name of its body in `driver/`.
    pub body: &'static str,
    /// Where it is run.
    pub profiles: &'static [Profile],
    /// Its options, beyond those of the profile.
    pub environment: &'static [(&'static str, &'static str)],
    /// Its limit on address space, in KiB.
    pub address_space: Option<u32>,
    /// The most that may be resident, in MiB and about, where blocks come and go in waves up to a limit; no thirds are
    /// compared then.
    pub bound: Option<u32>,
    /// The codes it may provoke.
    pub codes: &'static [&'static str],
    /// The sign to look for from outside.
    pub proof: Option<Proof>,
}

/// A profile of the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// The default.
    HostedSmall,
    /// Larger bins and caches, slower purge.
    HostedServer,
    /// Nothing is purged.
    CompilerInternal,
    /// A pool.
    Freestanding,
    /// Fixed addresses, junk, leaks told at exit.
    TestFixture,
}

use Profile::{CompilerInternal, Freestanding, HostedServer, HostedSmall, TestFixture};

/// All of them, in the order of tables and pictures.
pub const PROFILES: [Profile; 5] = [HostedSmall, HostedServer, CompilerInternal, Freestanding, TestFixture];
/// Large enough that no scenario but exhaustion comes to its end.
const ROOMY_POOL: &str = "768M";
const POOL: &str = "SPANDREL_POOL";

impl Profile {
    /// The value of `SPANDREL_PROFILE`.
    pub fn name(self) -> &'static str {
        match self {
            HostedSmall => "hosted-small",
            HostedServer => "hosted-server",
            CompilerInternal => "compiler-internal",
            Freestanding => "freestanding",
            TestFixture => "test-fixture",
        }
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name() == name)
    }
}

const ORDINARY: Scenario = Scenario {
    name: "",
    title: "",
    body: "",
    profiles: &PROFILES,
    environment: &[],
    address_space: None,
    bound: None,
    codes: &[],
    proof: None,
};
const LARGE: Scenario = Scenario { body: "churn-large", profiles: &[HostedServer], ..ORDINARY };

/// Where a crowd of threads fits: a heap and a span for each of ten thousand are more than the pool.
const CROWDED: &[Profile] = &[HostedSmall, HostedServer, CompilerInternal, TestFixture];

/// The scenario that runs the command `spandrel`.
const HOSTILE: &str = "hostile-descriptor";

/// All scenarios.
pub const SCENARIOS: [Scenario; 21] = [
    Scenario { name: "churn", title: "Churn", body: "churn", ..ORDINARY },
    Scenario { name: "remote-free", title: "Remote-free storm", body: "remote-free", ..ORDINARY },
    Scenario { name: "producer-consumer", title: "Producer, consumer", body: "producer-consumer", ..ORDINARY },
    Scenario { name: "thread-churn", title: "Thread churn", body: "thread-churn", ..ORDINARY },
    Scenario { name: "transfer-cache", title: "Transfer-cache pressure", body: "transfer-cache", ..ORDINARY },
    Scenario { name: "control", title: "Control under load", body: "control", ..ORDINARY },
    Scenario { name: "deepbind", title: "RTLD_DEEPBIND", body: "deepbind", ..ORDINARY },
    Scenario { name: HOSTILE, title: "Hostile descriptor", body: HOSTILE, ..ORDINARY },
    Scenario {
        name: "exhaustion",
        title: "Exhaustion: hard limit, pool",
        body: "exhaustion",
        environment: &[("SPANDREL_HARD_LIMIT", "64M")],
        bound: Some(64),
        codes: &["ALLOCATOR_PAGE_EXHAUSTION"],
        ..ORDINARY
    },
    Scenario {
        name: "exhaustion-address-space",
        title: "Exhaustion: RLIMIT_AS",
        body: "exhaustion",
        profiles: &[HostedSmall, HostedServer, CompilerInternal],
        address_space: Some(400_000),
        bound: Some(400),
        codes: &["ALLOCATOR_EXHAUSTION"],
        ..ORDINARY
    },
    // A child that leaves by exit() has what its parent's other threads had: that is no leak to be told.
    Scenario {
        name: "fork-storm",
        title: "Fork storm",
        body: "fork-storm",
        environment: &[("SPANDREL_LEAKS", "0")],
        ..ORDINARY
    },
    Scenario {
        name: "fork-nested",
        title: "Nested forks",
        body: "fork-nested",
        environment: &[("SPANDREL_LEAKS", "0")],
        ..ORDINARY
    },
    Scenario {
        name: "fork-crowd",
        title: "Fork from 1,000 threads",
        body: "fork-crowd",
        profiles: CROWDED,
        environment: &[("SPANDREL_LEAKS", "0")],
        ..ORDINARY
    },
    Scenario { name: "thread-crowd", title: "10,000 threads", body: "thread-crowd", profiles: CROWDED, ..ORDINARY },
    // A child that ends by _exit tells no leaks; what its parent's heaps held goes with it.
    Scenario {
        name: "tenants",
        title: "Tenants",
        body: "tenants",
        environment: &[("SPANDREL_LEAKS", "0")],
        codes: &["ALLOCATOR_HEAP_LIMIT"],
        ..ORDINARY
    },
    Scenario { name: "shutdown", title: "Shutdown", body: "shutdown", ..ORDINARY },
    Scenario {
        name: "huge-pages-madvise",
        title: "Huge pages: madvise",
        environment: &[("SPANDREL_HUGEPAGES", "madvise"), ("SPANDREL_HUGEPAGES_FROM", "8M")],
        proof: Some(Proof::HugePages),
        ..LARGE
    },
    Scenario {
        name: "huge-pages-thp",
        title: "Huge pages: thp",
        environment: &[("SPANDREL_HUGEPAGES", "thp")],
        proof: Some(Proof::HugePages),
        ..LARGE
    },
    Scenario {
        name: "huge-pages-hugetlb",
        title: "Huge pages: hugetlb",
        environment: &[("SPANDREL_HUGEPAGES", "hugetlb")],
        proof: Some(Proof::HugePages),
        ..LARGE
    },
    Scenario {
        name: "numa-local",
        title: "NUMA: local",
        environment: &[("SPANDREL_NUMA", "local")],
        proof: Some(Proof::NodePolicy("local")),
        ..LARGE
    },
    Scenario {
        name: "numa-interleave",
        title: "NUMA: interleave",
        environment: &[("SPANDREL_NUMA", "interleave")],
        proof: Some(Proof::NodePolicy("interleave")),
        ..LARGE
    },
];

/// Explicit huge pages that the scenario needs.
const HUGE_PAGES_NEEDED: u64 = 256;

impl Scenario {
    /// The scenario of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        const ALL: &[Scenario] = &SCENARIOS;
        ALL.iter().find(|scenario| scenario.name == name)
    }

    /// The options of a run in `profile`.
    pub fn options(&self, profile: Profile) -> Vec<(&'static str, &'static str)> {
        let mut options = vec![("SPANDREL_PROFILE", profile.name())];
        if profile != Freestanding {
            options.extend(self.environment);
        } else if self.body == "exhaustion" {
            options.push((POOL, "64M"));
        } else {
            options.push((POOL, ROOMY_POOL));
        }
        options
    }

    /// Why it cannot be run on this machine.
    pub fn obstacle(&self) -> Option<String> {
        if self.name == HOSTILE {
            return paths::tool().err();
        }
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        match self.proof? {
            Proof::HugePages if self.name.ends_with("hugetlb") => {
                let free =
                    read("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").trim().parse().unwrap_or(0_u64);
                (free < HUGE_PAGES_NEEDED)
                    .then(|| format!("{free} explicit huge pages are free and {HUGE_PAGES_NEEDED} are needed"))
            }
            Proof::HugePages => {
                let setting = read("/sys/kernel/mm/transparent_hugepage/enabled");
                let on = setting.contains("[madvise]") || setting.contains("[always]");
                (!on).then(|| format!("transparent huge pages are set to `{}`", setting.trim()))
            }
            Proof::NodePolicy(_) => {
                fs::metadata("/proc/self/numa_maps").is_err().then(|| "this kernel has no NUMA".to_owned())
            }
        }
    }
}

/// Every scenario in each of its profiles.
pub fn cases() -> impl Iterator<Item = (&'static Scenario, Profile)> {
    const ALL: &[Scenario] = &SCENARIOS;
    ALL.iter().flat_map(|scenario| scenario.profiles.iter().map(move |profile| (scenario, *profile)))
}

/// The runs of those cases that are `chosen`.
pub fn orders(seconds: f64, seed: u64, chosen: impl Fn(&Scenario, Profile) -> bool) -> Vec<Order> {
    let chosen = cases().filter(|(scenario, profile)| chosen(scenario, *profile));
    chosen
        .map(|(scenario, profile)| Order { scenario, profile, seconds, seed, options: Vec::new(), before: None })
        .collect()
}

/// A seed that is another each time.
pub fn seed_of_now() -> u64 {
    const DIGITS: u128 = 1_000_000_007;
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| (time.as_millis() % DIGITS) as u64)
}

/// The name of a case in tables and evidence.
pub fn case_name(scenario: &Scenario, profile: Profile) -> String {
    format!("{}.{}", scenario.name, profile.name())
}
