//! How the library meets programs: what it needs, what it exports, and every way of loading or linking it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::header::Variant;
use harness::run::Outcome;
use harness::suite::{case, case_if, main as run_cases};
use harness::{diag, paths, run};

/// The C surface; a missing name would mix two allocators.
const C_NAMES: [&str; 20] = [
    "malloc",
    "calloc",
    "realloc",
    "free",
    "cfree",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "reallocarray",
    "malloc_usable_size",
    "free_sized",
    "free_aligned_sized",
    "malloc_trim",
    "mallopt",
    "mallinfo",
    "mallinfo2",
    "malloc_info",
    "malloc_stats",
];

/// operator new and delete: plain and array; throwing, nothrow, aligned, aligned nothrow; and sized deletes.
const CPP_NAMES: [&str; 20] = [
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
];

/// operator new that also returns the usable bytes.
const SIZED_NEW_NAMES: [&str; 4] = [
    "__size_returning_new",
    "__size_returning_new_aligned",
    "__size_returning_new_hot_cold",
    "__size_returning_new_aligned_hot_cold",
];

const EXTENSION_NAMES: [&str; 9] = [
    "spandrel_is_active",
    "spandrel_version",
    "spandrel_lane_of_size",
    "spandrel_lane_of_pointer",
    "spandrel_good_size",
    "spandrel_alloc_at_least",
    "spandrel_collect",
    "spandrel_resident_bytes",
    "spandrel_stats",
];

/// Functions of the C library that the library wraps.
const WRAPPED_NAMES: [&str; 2] = ["dlopen", "__register_atfork"];

fn needs_libc_alone() -> Result<(), String> {
    let dynamic = run::readelf("--dynamic")?;
    let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    let names: Vec<&str> = needed.filter_map(|line| line.split('[').nth(1)?.split(']').next()).collect();
    let allowed = |name: &&str| *name == "libc.so.6" || name.starts_with("ld-linux");
    if names.contains(&"libc.so.6") && names.iter().all(allowed) { Ok(()) } else { Err(format!("NEEDED {names:?}")) }
}

fn cannot_be_unloaded() -> Result<(), String> {
    let dynamic = run::readelf("--dynamic")?;
    if dynamic.contains("NODELETE") { Ok(()) } else { Err("not linked with -z nodelete".to_owned()) }
}

fn uses_initial_exec_tls() -> Result<(), String> {
    let symbols = run::readelf("--dyn-syms")?;
    if symbols.contains("__tls_get_addr") { Err("refers to __tls_get_addr".to_owned()) } else { Ok(()) }
}

/// The library's name, against which programs are linked.
fn has_its_soname() -> Result<(), String> {
    let dynamic = run::readelf("--dynamic")?;
    if dynamic.contains("Library soname: [libspandrel.so.0]") { Ok(()) } else { Err(dynamic) }
}

/// Static TLS is scarce for a library that is loaded late: two words at most.
fn takes_little_static_tls() -> Result<(), String> {
    let segments = run::readelf("--program-headers")?;
    let line = segments.lines().find(|line| line.trim_start().starts_with("TLS ")).ok_or("no TLS segment")?;
    let size = line.split_whitespace().nth(5).ok_or("cannot read the TLS segment")?;
    let bytes = u64::from_str_radix(size.trim_start_matches("0x"), 16).map_err(|_| format!("TLS size `{size}`"))?;
    // The fast part, the state of the thread, and how many locks it holds.
    if bytes <= 24 { Ok(()) } else { Err(format!("{bytes} bytes of static TLS")) }
}

/// Names of defined dynamic symbols.
fn exported() -> Result<Vec<String>, String> {
    let table = run::readelf("--dyn-syms")?;
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let defined = rows.filter(|row| row.len() >= 8 && row[6] != "UND" && (row[4] == "GLOBAL" || row[4] == "WEAK"));
    Ok(defined.map(|row| row[7].split('@').next().unwrap_or(row[7]).to_owned()).collect())
}

fn exports_exactly() -> Result<(), String> {
    let names = exported()?;
    let wanted: Vec<&str> = [&C_NAMES[..], &CPP_NAMES, &SIZED_NEW_NAMES, &EXTENSION_NAMES, &WRAPPED_NAMES].concat();
    let missing: Vec<_> = wanted.iter().filter(|name| !names.iter().any(|have| have == *name)).collect();
    let foreign: Vec<_> =
        names.iter().filter(|name| !wanted.contains(&name.as_str()) && !name.starts_with("spandrel_")).collect();
    if missing.is_empty() && foreign.is_empty() {
        Ok(())
    } else {
        Err(format!("missing {missing:?}, beyond the surface {foreign:?}"))
    }
}

/// A static program that opens objects needs the C library's own functions for it.
fn archive_leaves_the_loader_alone() -> Result<(), String> {
    let mut command = run::command("nm");
    command.args(["--defined-only", "--extern-only", "--quiet"]).arg(paths::static_library()?);
    let outcome = run::run(&mut command, 20)?;
    outcome.clean()?;
    let names = || outcome.stdout.lines().filter_map(|line| line.split_whitespace().nth(2));
    let own: Vec<_> = names().filter(|name| WRAPPED_NAMES.contains(name)).collect();
    if own.is_empty() && names().any(|name| name == "malloc") { Ok(()) } else { Err(format!("defines {own:?}")) }
}

/// The program's report must show that the library served it.
fn served(command: &mut std::process::Command) -> Result<(), String> {
    let outcome = run::run(command.env("SPANDREL_DIAG", "1"), 30)?;
    outcome.clean()?;
    let report = diag::parse(&outcome.stderr)?;
    if report.lane("small").calls > 0 { Ok(()) } else { Err(format!("nothing was served by the library\n{outcome}")) }
}

fn loader() -> Option<PathBuf> {
    let known = PathBuf::from("/lib64/ld-linux-x86-64.so.2");
    known.is_file().then_some(known)
}

fn through_the_loader() -> Result<(), String> {
    let mut command = run::command(loader().ok_or("no loader")?);
    command.arg("--preload").arg(paths::shared_library()?);
    served(command.arg(paths::find_program("ls").ok_or("no ls")?).arg("/"))
}

fn preloaded_twice() -> Result<(), String> {
    let library = paths::shared_library()?;
    let copy = paths::scratch()?.join("second-copy.so");
    std::fs::copy(&library, &copy).map_err(|error| error.to_string())?;
    let mut same = run::command("ls");
    served(same.arg("/").env("LD_PRELOAD", format!("{0}:{0}", library.display())))?;
    let mut both = run::command("ls");
    both.arg("/").env("LD_PRELOAD", format!("{}:{}", library.display(), copy.display()));
    run::run(&mut both, 30)?.clean()
}

fn preloaded_and_linked() -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("workload.c")), Variant::Linked)?;
    let mut command = run::preloaded(program)?;
    served(command.args(["2", "10"]))
}

fn workload_in(variant: Variant) -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("workload.c")), variant)?;
    served(run::command(program).args(["4", "40"]))
}

fn missing_library_is_harmless() -> Result<(), String> {
    let mut command = run::command("ls");
    command.arg("/").env("LD_PRELOAD", "/nonexistent/libspandrel.so");
    run::run(&mut command, 30)?.clean()
}

/// Links by hand, with the library first, last, or the whole program static.
fn links(cpp: bool, before: &[&str], name: &str) -> Result<(), String> {
    let source =
        if cpp { paths::ffi_sources().join("cxx/std_containers.cpp") } else { paths::program_source("workload.c") };
    let (headers, library) = (paths::ffi_support(), paths::static_library()?);
    let result = paths::scratch()?.join(name);
    let mut words: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
    words.extend(["-O1", "-D_GNU_SOURCE", "-I"].map(OsStr::new));
    words.extend([headers.as_os_str(), source.as_os_str(), library.as_os_str(), OsStr::new("-pthread")]);
    build::compile_by_hand(cpp, &words, &result)?;
    run_linked(&result, cpp)
}

/// libc.a keeps `__libc_malloc` and `malloc` in one object, so a fully static program either links and is served, or
/// the linker refuses by name; it must never come out with two allocators.
fn static_or_refused(cpp: bool, flag: &str, name: &str) -> Result<(), String> {
    match links(cpp, &[flag], name) {
        Err(refusal) if refusal.contains("multiple definition of `malloc'") => Ok(()),
        other => other,
    }
}

fn run_linked(program: &Path, cpp: bool) -> Result<(), String> {
    let mut command = run::command(program);
    served(if cpp { &mut command } else { command.args(["2", "10"]) })
}

/// The library names another tool that watches memory, and only where the options ask for it.
fn names_other_tools() -> Result<(), String> {
    let library = paths::shared_library()?;
    for (settings, expected) in [(Some("SPANDREL_DIAG=1"), true), (None, false)] {
        let mut command = run::command("valgrind");
        command.args(["-q", "--trace-children=yes", "env"]).arg(format!("LD_PRELOAD={}", library.display()));
        command.args(settings).args(["perl", "-e", "print 1"]);
        let outcome = run::run(&mut command, 60)?;
        if outcome.stderr.contains("ALLOCATOR_OTHER_TOOL: valgrind") != expected {
            return Err(format!("{outcome}"));
        }
    }
    Ok(())
}

/// valgrind's memory checker serves the calls itself and finds all that it finds without the preload, unless an option
/// forbids it.
fn valgrind_finds_everything() -> Result<(), String> {
    let source = Source { path: paths::program_source("mistakes.c"), flags: vec!["-O0".to_owned()], name: None };
    let program = build::program(&source, Variant::Preload)?;
    let library = paths::shared_library()?;
    let check = |words: &[&str], preload: bool| {
        let mut command = run::command("valgrind");
        command.args(["--leak-check=full"]).args(words);
        if preload {
            command.args(["/lib64/ld-linux-x86-64.so.2", "--preload"]).arg(&library).env("SPANDREL_DIAG", "1");
        }
        run::run(command.arg(&program), 120)
    };
    let kinds = ["Invalid read of size 1", "Invalid write of size 1", "Conditional jump", "definitely lost in"];
    let counts = |outcome: &Outcome| kinds.map(|kind| outcome.stderr.matches(kind).count());
    let (plain, ours) = (check(&[], false)?, check(&[], true)?);
    let served = |outcome: &Outcome| diag::parse(&outcome.stderr).map(|report| report.lane("small").calls);
    if counts(&plain) != [1, 2, 1, 1] || counts(&ours) != counts(&plain) || served(&ours)? != 0 {
        return Err(format!("{:?} {:?}\n{plain}\n{ours}", counts(&plain), counts(&ours)));
    }
    let left = check(&["--soname-synonyms=somalloc=nouserintercepts"], true)?;
    if counts(&left) == [0; 4] && served(&left)? > 3 { Ok(()) } else { Err(format!("{left}")) }
}

fn main() -> ExitCode {
    let no_readelf = paths::missing("readelf");
    let no_loader = loader().is_none().then(|| "ld-linux-x86-64.so.2 is elsewhere".to_owned());
    let no_valgrind = paths::missing("valgrind");
    let cases = vec![
        case_if(no_readelf.clone(), "needs_libc_alone", needs_libc_alone),
        case_if(no_readelf.clone(), "cannot_be_unloaded", cannot_be_unloaded),
        case_if(no_readelf.clone(), "uses_initial_exec_tls", uses_initial_exec_tls),
        case_if(no_readelf.clone(), "has_its_soname", has_its_soname),
        case_if(no_readelf.clone(), "takes_little_static_tls", takes_little_static_tls),
        case_if(no_readelf.clone(), "exports_exactly", exports_exactly),
        case_if(no_readelf, "archive_leaves_the_loader_alone", archive_leaves_the_loader_alone),
        case_if(no_loader, "through_the_loader", through_the_loader),
        case_if(no_valgrind.clone(), "valgrind_is_named", names_other_tools),
        case_if(no_valgrind, "valgrind_finds_everything", valgrind_finds_everything),
        case("preloaded_twice", preloaded_twice),
        case("preloaded_and_linked", preloaded_and_linked),
        case("missing_library_is_harmless", missing_library_is_harmless),
        case("workload_linked", || workload_in(Variant::Linked)),
        case("workload_static_library", || workload_in(Variant::Static)),
        case("static_library_in_c", || links(false, &[], "by-hand-c")),
        case("static_library_in_cpp", || links(true, &[], "by-hand-cpp")),
        case("static_library_collected_sections", || links(false, &["-Wl,--gc-sections"], "by-hand-gc")),
        case("static_library_position_dependent", || links(false, &["-no-pie"], "by-hand-no-pie")),
        case("fully_static_c", || static_or_refused(false, "-static", "by-hand-static-c")),
        case("fully_static_cpp", || static_or_refused(true, "-static", "by-hand-static-cpp")),
        case("fully_static_pie", || static_or_refused(false, "-static-pie", "by-hand-static-pie")),
    ];
    run_cases(cases, false)
}
