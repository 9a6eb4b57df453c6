//! Every example of `examples/`, and the project in it: builds and runs by its command, and prints what stands at its top.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::suite::{case, main as run_cases};
use harness::{paths, run};

fn folder() -> PathBuf {
    paths::workspace().join("examples")
}

/// The lines below `Prints:` in the comment at the top.
fn promised(text: &str) -> Vec<String> {
    let comment = text.lines().map_while(|line| line.strip_prefix("//!").or_else(|| line.strip_prefix("//")));
    let lines = comment.skip_while(|line| line.trim() != "Prints:").skip(1);
    lines.map_while(|line| line.strip_prefix("   ")).map(str::to_owned).collect()
}

fn prints_what_it_says(path: &Path, name: &str) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let promised = promised(&text);
    if promised.is_empty() {
        return Err(format!("{} does not say what it prints", path.display()));
    }
    let command = format!("make -C examples {name}");
    if !text.contains(&format!(": {command}\n")) {
        return Err(format!("{} does not say `{command}`", path.display()));
    }
    let mut make = run::command("make");
    // Under `make test` the flags of the outer make would come along.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
    let library = format!("LIBRARY={}", paths::shared_library()?.display());
    make.args(["--no-print-directory", "-C"]).arg(folder()).args([name, &library]);
    // The project of its own has no list of versions: it takes those that are here.
    make.env("CARGO_NET_OFFLINE", "true");
    let outcome = run::run(&mut make, 300)?;
    outcome.clean()?;
    let printed: Vec<&str> = outcome.stdout.lines().collect();
    if printed == promised { Ok(()) } else { Err(format!("promised:\n{}\n{outcome}", promised.join("\n"))) }
}

fn main() -> ExitCode {
    let entries = fs::read_dir(folder()).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|end| end == "c" || end == "cpp" || end == "rs");
    let mut cases = Vec::new();
    for path in entries.filter(is_source) {
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        cases.push(case(&name.clone(), move || prints_what_it_says(&path, &name)));
    }
    cases.push(case("project", || prints_what_it_says(&folder().join("project/src/main.rs"), "project")));
    run_cases(cases, true)
}
