//! `make install` and `make uninstall`: with the tools that every system has, into any folder, and without a trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use harness::expect::End;
use harness::paths::{self, missing};
use harness::run;
use harness::suite::{case, case_if, main as run_cases};

/// The programs that `make install` runs besides make itself.
const TOOLS: [&str; 13] =
    ["sh", "sed", "head", "find", "install", "ln", "wc", "dirname", "rm", "rmdir", "mkdir", "cat", "sort"];

fn said<E: core::fmt::Display>(error: E) -> String {
    error.to_string()
}

/// A folder that looks like that of a build, with the libraries; the other files are not used, and empty.
fn built(name: &str) -> Result<PathBuf, String> {
    let folder = paths::fresh(name)?;
    let release = folder.join("release");
    fs::create_dir(&release).map_err(said)?;
    for (from, to) in [(paths::shared_library()?, "libspandrel.so"), (paths::static_library()?, "libspandrel.a")] {
        std::os::unix::fs::symlink(from, release.join(to)).map_err(said)?;
    }
    for file in ["libspandrel_jemalloc.so", "libspandrel_jemalloc.a", "spandrel"] {
        fs::write(release.join(file), "").map_err(said)?;
    }
    Ok(folder)
}

/// `make` with a `PATH` that has nothing but the tools of every system: no cargo and no compiler.
fn bare_make(folder: &Path, target: &str, arguments: &[String]) -> Result<Command, String> {
    let tools = folder.join("tools");
    if !tools.exists() {
        fs::create_dir(&tools).map_err(said)?;
        for tool in TOOLS {
            let found = paths::find_program(tool).ok_or_else(|| format!("there is no {tool}"))?;
            std::os::unix::fs::symlink(found, tools.join(tool)).map_err(said)?;
        }
    }
    let make = paths::find_program("make").ok_or("there is no make")?;
    let mut command = run::command(make);
    command.current_dir(paths::workspace()).args(["--no-print-directory", target]).args(arguments);
    command.env_clear().env("PATH", tools).env("LC_ALL", "C");
    Ok(command)
}

/// The settings of an installation of `build` below `root`.
fn settings(build: &Path, root: &Path, prefix: &str) -> Vec<String> {
    vec![format!("TARGET={}", build.display()), format!("DESTDIR={}", root.display()), format!("PREFIX={prefix}")]
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let is_folder = path.is_dir() && !path.is_symlink();
        found.push(path.clone());
        if is_folder {
            files_below(&path, found);
        }
    }
}

fn install_needs_no_cargo() -> Result<(), String> {
    let build = built("install_needs_no_cargo")?;
    let root = build.join("root");
    run::well(&mut bare_make(&build, "install", &settings(&build, &root, "/usr"))?)?;
    for file in [
        "bin/spandrel",
        "lib/libspandrel.so.0",
        "lib/libspandrel.a",
        "lib/pkgconfig/spandrel.pc",
        "include/spandrel.h",
        "share/man/man1/spandrel.1",
        "share/man/man1/spandrel-run.1",
        "share/man/man7/spandrel.7",
        "share/bash-completion/completions/spandrel",
        "share/zsh/site-functions/_spandrel",
        "share/fish/vendor_completions.d/spandrel.fish",
        "lib/systemd/system/spandrel-serve.service",
        "share/spandrel/grafana/spandrel.json",
    ] {
        let path = root.join("usr").join(file);
        let template = fs::read(&path).is_ok_and(|bytes| bytes.windows(9).any(|part| part == b"@VERSION@"));
        if !path.exists() || template {
            return Err(format!("{} is not installed as it should be", path.display()));
        }
    }
    Ok(())
}

fn install_says_what_is_not_built() -> Result<(), String> {
    let build = paths::fresh("install_says_what_is_not_built")?;
    let root = build.join("root");
    fs::create_dir(build.join("release")).map_err(said)?;
    let outcome = run::run(&mut bare_make(&build, "install", &settings(&build, &root, "/usr"))?, 60)?;
    let lines: Vec<&str> = outcome.stderr.lines().filter(|line| !line.starts_with("make: ***")).collect();
    let says = matches!(lines.as_slice(), [line] if line.starts_with("install: ") && line.contains("`make build`"));
    if says && outcome.end != End::Exit(0) && !root.exists() {
        return Ok(());
    }
    Err(format!("should say in one line what is missing, and install nothing\n{outcome}"))
}

/// Folders that were there before stay, empty ones too; nothing else.
fn uninstall_leaves_nothing() -> Result<(), String> {
    let build = built("uninstall_leaves_nothing")?;
    let root = build.join("root");
    let before = root.join("usr/share/zsh/site-functions");
    fs::create_dir_all(&before).map_err(said)?;
    for prefix in ["/usr", "/opt/deep/spandrel"] {
        // An installation over another is removed as one.
        for target in ["install", "install", "uninstall"] {
            run::well(&mut bare_make(&build, target, &settings(&build, &root, prefix))?)?;
        }
        let mut left = Vec::new();
        files_below(&root, &mut left);
        left.retain(|path| !before.starts_with(path));
        if !left.is_empty() || !before.is_dir() {
            return Err(format!("{left:?} are left over, or {} is gone", before.display()));
        }
    }
    Ok(())
}

/// A program that is linked with pkg-config's flags finds the library where the loader does not look.
fn pkg_config_has_the_rpath() -> Result<(), String> {
    let build = built("pkg_config_has_the_rpath")?;
    let prefix = build.join("place");
    let arguments = [format!("TARGET={}", build.display()), format!("PREFIX={}", prefix.display())];
    run::well(&mut bare_make(&build, "install", &arguments)?)?;
    let flags = |options: &[&str]| -> Result<Vec<String>, String> {
        let mut command = run::command("pkg-config");
        command.args(options).arg("spandrel").env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        Ok(run::well(&mut command)?.stdout.split_whitespace().map(str::to_owned).collect())
    };
    let program = build.join("program");
    let mut compile = run::command("cc");
    compile.arg(paths::program_source("use.c")).args(flags(&["--cflags", "--libs"])?);
    compile.args(flags(&["--variable=rpath_flags"])?).arg("-o").arg(&program);
    run::well(&mut compile)?;
    run::well(&mut run::command(program)).map(drop)
}

fn main() -> ExitCode {
    let cases = vec![
        case("install_needs_no_cargo", install_needs_no_cargo),
        case("install_says_what_is_not_built", install_says_what_is_not_built),
        case("uninstall_leaves_nothing", uninstall_leaves_nothing),
        case_if(missing("pkg-config"), "pkg_config_has_the_rpath", pkg_config_has_the_rpath),
    ];
    run_cases(cases, false)
}
