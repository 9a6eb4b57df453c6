//! Every example of `examples/`: builds and runs by its command, in the tree of the build and with an installed tree
//! alone, and prints what stands at its top.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use harness::expect::End;
use harness::suite::{case_if, main as run_cases};
use harness::{installed, paths, run};

fn folder() -> PathBuf {
    paths::workspace().join("examples")
}

/// The lines below `Prints:` in the comment at the top.
fn promised(text: &str) -> Vec<String> {
    let comment = text.lines().map_while(|line| line.strip_prefix("//!").or_else(|| line.strip_prefix("//")));
    let lines = comment.skip_while(|line| line.trim() != "Prints:").skip(1);
    lines.map_while(|line| line.strip_prefix("   ")).map(str::to_owned).collect()
}

/// The codes of the diagnostics that it provokes, behind `Says:` in the comment at the top.
fn provoked(text: &str) -> Vec<String> {
    let codes = text.lines().find_map(|line| line.trim_start_matches(['/', '!']).strip_prefix(" Says: "));
    codes.into_iter().flat_map(|codes| codes.split(' ')).map(str::to_owned).collect()
}

/// The example that a source belongs to: the word behind the command at its top.
fn name_of(text: &str) -> Option<String> {
    let name = text.split_once(": make -C examples ")?.1.lines().next()?;
    Some(name.trim().to_owned())
}

/// An example, the lines that it prints, and the codes of its diagnostics.
#[derive(Clone)]
struct Example {
    path: PathBuf,
    name: String,
    promised: Vec<String>,
    provoked: Vec<String>,
}

/// Runs `make` for an example in `folder`, and compares what it prints with what it promises.
fn prints(folder: &Path, example: &Example, settings: &[(&str, &Path)]) -> Result<(), String> {
    let Example { name, promised, provoked, .. } = example;
    let mut make = run::command("make");
    // Under `make test` the flags of the outer make would come along.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
    make.args(["--no-print-directory", "-C"]).arg(folder).arg(name).envs(settings.iter().copied());
    make.args(settings.iter().map(|(name, value)| format!("{name}={}", value.display())));
    // The project of its own has no list of versions: it takes those that are here.
    make.env("CARGO_NET_OFFLINE", "true");
    let outcome = run::run(&mut make, 300)?;
    let codes: Vec<&str> = outcome.diagnostics().iter().map(|line| line.code).collect();
    let printed: Vec<&str> = outcome.stdout.lines().collect();
    let is_as_promised = outcome.end == End::Exit(0) && printed == *promised && codes == *provoked;
    if is_as_promised { Ok(()) } else { Err(format!("promised:\n{}\n{outcome}", promised.join("\n"))) }
}

/// In the tree of the build. `TEST_EXAMPLES` names the folder of the Rust examples where they are built already, with
/// the features of all tests, as cargo would build what they need once more for them alone.
fn prints_what_it_says(example: &Example) -> Result<(), String> {
    let (library, out) = (paths::shared_library()?, paths::fresh(&format!("built-{}", example.name))?);
    let mut settings = vec![("LIBRARY", library.as_path()), ("OUT", &out)];
    let built = env::var_os("TEST_EXAMPLES").map(PathBuf::from);
    settings.extend(built.as_deref().map(|folder| ("RUST_BUILT", folder)));
    prints(&folder(), example, &settings)
}

/// A copy of the examples outside of the repository, with the installed tree alone.
fn prints_it_installed(example: &Example) -> Result<(), String> {
    let (tree, place) = (installed::tree()?, paths::fresh(&format!("alone-{}", example.name))?);
    let (copy, out) = (place.join("examples"), place.join("out"));
    fs::create_dir(&out).map_err(|error| error.to_string())?;
    run::run(run::command("cp").arg("-r").arg(folder()).arg(&copy), 20)?.clean()?;
    let settings = [
        ("INSTALLED", Path::new("1")),
        ("OUT", &out),
        ("PKG_CONFIG_PATH", &tree.join("lib/pkgconfig")),
        ("CMAKE_PREFIX_PATH", &tree),
    ];
    prints(&copy, example, &settings)
}

/// The sources of C, C++ and Rust in a folder and those in it.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "c" || end == "cpp" || end == "rs") {
            found.push(path);
        }
    }
}

/// All examples. Sources in folders of their own may be parts of another one.
fn examples() -> Result<Vec<Example>, String> {
    let mut found = Vec::new();
    sources(&folder(), &mut found);
    let mut examples = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let (name, promised, provoked) = (name_of(&text), promised(&text), provoked(&text));
        let alone = path.parent() == Some(&folder());
        let is_named = name.as_deref().is_some_and(|name| !alone || path.file_stem().is_some_and(|stem| stem == name));
        match name {
            Some(name) if is_named && !promised.is_empty() => {
                examples.push(Example { path, name, promised, provoked });
            }
            None if !alone && promised.is_empty() => {}
            _ => return Err(format!("{} does not say what it prints, or by which command", path.display())),
        }
    }
    Ok(examples)
}

/// Why an example cannot be built here, if it cannot: Lua's header and library are a package that can be installed.
fn obstacle(name: &str) -> Option<String> {
    match name {
        "cmake" => paths::missing("cmake"),
        "lua_tenants" => paths::missing("pkg-config").or_else(|| {
            let mut install = run::command(paths::workspace().join("scripts/packages"));
            let is_there = run::run(install.arg("liblua5.4-dev"), 300).is_ok_and(|outcome| outcome.clean().is_ok());
            (!is_there).then(|| "the package liblua5.4-dev cannot be installed".to_owned())
        }),
        _ => None,
    }
}

fn main() -> ExitCode {
    let mut cases = Vec::new();
    let examples = match examples() {
        Ok(examples) => examples,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for example in examples {
        let (obstacle, name, built) = (obstacle(&example.name), example.name.clone(), example.clone());
        cases.push(case_if(obstacle.clone(), &name, move || prints_what_it_says(&built)));
        if example.path.extension().is_none_or(|end| end != "rs") {
            let obstacle = obstacle.or_else(|| paths::missing("pkg-config"));
            cases.push(case_if(obstacle, &format!("installed_{name}"), move || prints_it_installed(&example)));
        }
    }
    run_cases(cases, true)
}
