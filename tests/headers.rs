//! The headers: `spandrel.hpp` by each compiler, standard and set of language features, without a warning; `spandrel.h`
//! in C and C++.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// Standards, and what is left out of the language.
const FORMS: [(&str, &[&str]); 5] = [
    ("17", &["-std=c++17"]),
    ("20", &["-std=c++20", "-O2"]),
    ("17_without_exceptions", &["-std=c++17", "-fno-exceptions"]),
    ("20_without_types", &["-std=c++20", "-fno-rtti"]),
    ("17_without_sizes", &["-std=c++17", "-fno-sized-deallocation", "-O2"]),
];

/// A program in `PATH` of that name, or that name with a number behind; the largest number if there are several.
fn newest(name: &str) -> Option<PathBuf> {
    paths::find_program(name)
        .or_else(|| (10..40).rev().find_map(|number| paths::find_program(&format!("{name}-{number}"))))
}

/// The words behind the sources of a program that is linked with the library.
fn library(name: &str) -> Result<Vec<OsString>, String> {
    let library = paths::shared_library()?;
    let folder = paths::fresh(name)?;
    std::os::unix::fs::symlink(&library, folder.join("libspandrel.so.0")).map_err(|error| error.to_string())?;
    let mut rpath = OsString::from("-Wl,-rpath,");
    rpath.push(&folder);
    Ok(vec!["-x".into(), "none".into(), library.into(), rpath, "-pthread".into()])
}

/// Compiles, and runs what comes out.
fn runs(compiler: &str, name: &str, words: &[&str], source: &str, wanted: &str) -> Result<(), String> {
    let compiler = newest(compiler).ok_or_else(|| format!("there is no {compiler}"))?;
    let program = paths::fresh(name)?.join("program");
    let mut command = run::command(compiler);
    command.args(WARNINGS).args(words).arg("-I").arg(paths::include()).arg(paths::program_source(source));
    run::run(command.args(library(&format!("library-{name}"))?).arg("-o").arg(&program), 120)?.clean()?;
    let outcome = run::run(&mut run::command(program), 60)?;
    outcome.clean()?;
    if outcome.stdout == wanted && outcome.stderr.is_empty() { Ok(()) } else { Err(outcome.to_string()) }
}

/// Pairs of 16 bytes, or of 64 at multiples of 64, and the most instructions that one takes in the program and in the
/// libraries. Those of the loop itself are not counted.
const PAIRS: [(&str, f64); 8] = [
    ("malloc", 46.0),
    ("new", 56.0),
    ("allocator", 56.0),
    ("resource", 77.0),
    ("new_delete_resource", 103.0),
    ("wide_new", 92.0),
    ("wide_allocator", 92.0),
    ("mallocx", 86.0),
];

/// Instructions of a run under callgrind.
fn instructions(program: &Path, kind: &str, pairs: u32) -> Result<f64, String> {
    let mut command = run::command("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args([kind, &pairs.to_string()]);
    let outcome = run::run(&mut command, 120)?;
    outcome.clean()?;
    let collected = outcome.stderr.lines().find_map(|line| line.split_once("Collected : "));
    collected.and_then(|(_, count)| count.trim().parse().ok()).ok_or_else(|| outcome.to_string())
}

/// Prints the cost of each kind of pair, and compares it with its bound.
fn pairs_cost_little() -> Result<(), String> {
    const COUNT: u32 = 4000;
    let folder = paths::fresh("pairs")?;
    let (program, compat) = (folder.join("program"), folder.join("libspandrel_jemalloc.so.0"));
    let built = paths::shared_library()?.with_file_name("libspandrel_jemalloc.so");
    std::os::unix::fs::symlink(built, &compat).map_err(|error| error.to_string())?;
    let mut rpath = OsString::from("-Wl,-rpath,");
    rpath.push(&folder);
    let mut command = run::command("g++");
    command.args(["-std=c++17", "-O2", "-I"]).arg(paths::include()).arg(paths::program_source("pairs.cpp"));
    command.args(library("library-of-pairs")?).arg(compat).arg(rpath).arg("-o").arg(&program);
    run::run(&mut command, 120)?.clean()?;
    let per_pair = |kind: &str| -> Result<f64, String> {
        let more = instructions(&program, kind, 2 * COUNT)? - instructions(&program, kind, COUNT)?;
        Ok(more / f64::from(COUNT))
    };
    let empty = per_pair("loop")?;
    let mut over = Vec::new();
    for (kind, most) in PAIRS {
        let cost = per_pair(kind)? - empty;
        println!("{kind:20} {cost:6.1} instructions, at most {most}");
        if !(10.0..=most).contains(&cost) {
            over.push(format!("{kind}: {cost} instructions"));
        }
    }
    if over.is_empty() { Ok(()) } else { Err(over.join("\n")) }
}

fn main() -> ExitCode {
    let no_valgrind = newest("valgrind").is_none().then(|| "valgrind is not installed".to_owned());
    let mut cases = vec![
        case_if(no_valgrind, "pairs_cost_little", pairs_cost_little),
        case("c_11", || runs("gcc", "c-11", &["-std=c11"], "header.c", "done\n")),
        case("c_as_cpp", || runs("g++", "c-as-cpp", &["-x", "c++", "-std=c++17"], "header.c", "done\n")),
    ];
    for compiler in ["g++", "clang++"] {
        let none = newest(compiler).is_none().then(|| format!("there is no {compiler}"));
        for (form, words) in FORMS {
            let name = format!("{}_{form}", compiler.replace('+', "p"));
            cases.push(case_if(none.clone(), &name.clone(), move || {
                runs(compiler, &name, words, "header.cpp", "done\n")
            }));
        }
    }
    run_cases(cases, false)
}
