//! The headers: `spandrel.hpp` by each compiler, standard and set of language features, without a warning; `spandrel.h`
//! in C and C++.

use std::ffi::OsString;
use std::path::PathBuf;
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
fn library() -> Result<Vec<OsString>, String> {
    let library = paths::shared_library()?;
    let folder = paths::fresh("library")?;
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
    run::run(command.args(library()?).arg("-o").arg(&program), 120)?.clean()?;
    let outcome = run::run(&mut run::command(program), 60)?;
    outcome.clean()?;
    if outcome.stdout == wanted && outcome.stderr.is_empty() { Ok(()) } else { Err(outcome.to_string()) }
}

fn main() -> ExitCode {
    let mut cases = vec![
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
