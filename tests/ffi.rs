//! Every program of `ffi-tests/`, in every variant and run its header asks for, as a test of its own.
//!
//! `SPANDREL_TEST_GLIBC=1` adds the `glibc` variants, the same programs without the allocator: they show that the tests
//! themselves are right about what programs may expect.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::{has_stack, says};
use harness::header::{self, Header, RunSpec, Variant};
use harness::suite::case;
use harness::{paths, run};
use libtest_mimic::{Arguments, Trial};

/// The one directive that a shared object of `support/` may have.
const HELPER_FLAGS: &str = "// flags:";

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = entries(folder)?;
    found.retain(|path| path.extension().is_some_and(|end| end == "c" || end == "cpp"));
    Ok(found)
}

/// The programs of all folders by subject. A file name is enough to name a test and its binary, so no two files share
/// one.
fn programs() -> Result<Vec<PathBuf>, String> {
    let top = paths::ffi_sources();
    if let Some(stray) = sources(&top)?.first() {
        return Err(format!("{}: a program belongs in a folder of its subject", stray.display()));
    }
    let support = paths::ffi_support();
    let mut found = Vec::new();
    for folder in entries(&top)?.into_iter().filter(|path| path.is_dir() && *path != support) {
        found.extend(sources(&folder)?);
    }
    let mut seen = HashMap::new();
    for path in sources(&support)?.iter().chain(&found) {
        if let Some(other) = seen.insert(stem(path), path) {
            return Err(format!("{} and {} have one name", other.display(), path.display()));
        }
    }
    Ok(found)
}

fn build_helpers(helpers: &[PathBuf]) -> Result<(), String> {
    helpers.iter().try_for_each(|path| {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let flags = text.lines().filter_map(|line| line.strip_prefix(HELPER_FLAGS)).flat_map(str::split_whitespace);
        build::shared_object(&Source { path: path.clone(), flags: flags.map(str::to_owned).collect(), name: None })
            .map(drop)
    })
}

/// The environment of a run, in which `$FFI_OUT` is the folder of built files.
fn environment(spec: &RunSpec) -> impl Iterator<Item = (&String, String)> {
    let folder = paths::output().display().to_string();
    spec.env.iter().map(move |(name, value)| (name, value.replace("$FFI_OUT", &folder)))
}

fn execute(source: &Source, variant: Variant, spec: &RunSpec, timeout: u64, helpers: &[PathBuf]) -> Result<(), String> {
    build_helpers(helpers)?;
    let program = build::program(source, variant)?;
    let mut command = match variant {
        Variant::Preload => run::preloaded(&program)?,
        Variant::Linked | Variant::Static | Variant::Glibc => run::command(&program),
    };
    command.env("FFI_OUT", paths::output()).env("FFI_LIBRARY", paths::shared_library().unwrap_or_default());
    command.args(&spec.args).envs(environment(spec));
    let outcome = run::run(&mut command, timeout)?;
    spec.expect.judge(&outcome)?;
    spec.says.iter().try_for_each(|text| says(&outcome, text))?;
    spec.stacks.iter().try_for_each(|text| has_stack(&outcome, text))
}

fn cases_of(path: &Path, helpers: &[PathBuf]) -> Result<Vec<Trial>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let Header { flags, variants, timeout, runs } =
        header::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let source = Source { path: path.to_path_buf(), flags, name: None };
    let with_glibc = std::env::var_os("SPANDREL_TEST_GLIBC").is_some();
    let glibc_only = variants == [Variant::Glibc];
    let mut cases = Vec::new();
    for variant in variants {
        if variant == Variant::Glibc && !with_glibc && !glibc_only {
            continue;
        }
        for spec in &runs {
            let separator = if spec.name.is_empty() { "" } else { "::" };
            let name = format!("{}{separator}{} [{}]", stem(path), spec.name, variant.word());
            let (source, spec, helpers) = (source.clone(), spec.clone(), helpers.to_vec());
            cases.push(case(&name, move || execute(&source, variant, &spec, timeout, &helpers)));
        }
    }
    Ok(cases)
}

/// The cases of all programs, or of those in one folder.
fn all_cases(folder: Option<&str>) -> Result<Vec<Trial>, String> {
    let (helpers, mut programs) = (sources(&paths::ffi_support())?, programs()?);
    if let Some(folder) = folder {
        programs.retain(|path| path.parent().is_some_and(|parent| parent.ends_with(folder)));
    }
    let mut cases = Vec::new();
    for program in &programs {
        cases.extend(cases_of(program, &helpers)?);
    }
    Ok(cases)
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // `FOLDER/NAME` filters by both; no name contains a slash.
    let filter = arguments.filter.take().unwrap_or_default();
    let (folder, name) = filter.split_once('/').map_or((None, filter.as_str()), |(folder, name)| (Some(folder), name));
    arguments.filter = (!name.is_empty()).then(|| name.to_owned());
    match all_cases(folder) {
        Ok(cases) => harness::suite::run(arguments, cases, false),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
