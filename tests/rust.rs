//! The package for Rust as other people get it: cargo packs it, the file has everything, a project that knows nothing else
//! builds with it, and its pages are whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use harness::suite::{case, main as run_cases};
use harness::{paths, run};

const LIMIT_SECONDS: u64 = 400;

/// cargo, without the network: all that the workspace needs is there already.
fn cargo(folder: &Path, words: &[&str]) -> Command {
    let mut cargo = run::command("cargo");
    cargo.current_dir(folder).args(words).env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never");
    cargo
}

/// Runs a command that has to end well; its standard output.
fn output(mut command: Command) -> Result<String, String> {
    let outcome = run::run(&mut command, LIMIT_SECONDS)?;
    outcome.clean()?;
    Ok(outcome.stdout)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The package, packed and unpacked, once for all cases.
fn unpacked() -> Result<PathBuf, String> {
    static PACKAGE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PACKAGE.get_or_init(unpack).clone()
}

fn unpack() -> Result<PathBuf, String> {
    let folder = paths::fresh("package")?;
    let target = folder.display().to_string();
    // The compiler sees it when a project builds with it.
    let words = ["package", "-p", "spandrel-alloc", "--allow-dirty", "--no-verify", "--target-dir", &target];
    output(cargo(&paths::workspace(), &words))?;
    let packed = fs::read_dir(folder.join("package")).map_err(text)?.flatten().map(|entry| entry.path());
    let packed = packed.filter(|path| path.extension().is_some_and(|end| end == "crate")).collect::<Vec<_>>();
    let [packed] = packed.as_slice() else { return Err(format!("packed: {packed:?}")) };
    let mut tar = run::command("tar");
    tar.arg("-xzf").arg(packed).arg("-C").arg(&folder);
    output(tar)?;
    Ok(folder.join(packed.file_stem().unwrap_or_default()))
}

/// The files below a folder that are Rust's, by their names from there.
fn sources(folder: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    for path in fs::read_dir(folder.join(below)).map_err(text)?.flatten().map(|entry| entry.path()) {
        let name = path.strip_prefix(folder).map_err(text)?.to_path_buf();
        if path.is_dir() {
            sources(folder, &name, found)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.insert(name);
        }
    }
    Ok(())
}

fn the_package_has_every_source() -> Result<(), String> {
    let (package, root) = (unpacked()?, paths::workspace());
    let (mut packed, mut own) = (BTreeSet::new(), BTreeSet::new());
    sources(&package.join("src"), Path::new(""), &mut packed)?;
    sources(&root.join("src"), Path::new(""), &mut own)?;
    if packed != own || own.is_empty() {
        return Err(format!("missing or too many: {:?}", packed.symmetric_difference(&own)));
    }
    for (packed, own) in [("LICENSE", "LICENSE"), ("README.md", "rust/README.md"), ("src/lib.rs", "src/lib.rs")] {
        if fs::read(package.join(packed)).map_err(text)? != fs::read(root.join(own)).map_err(text)? {
            return Err(format!("{packed} is not {own}"));
        }
    }
    let manifest = fs::read_to_string(package.join("Cargo.toml")).map_err(text)?;
    let fields = ["description", "license", "readme", "documentation", "rust-version"];
    let missing = fields.iter().filter(|field| !manifest.contains(&format!("\n{field} = \"")));
    let lists = ["keywords", "categories"];
    let missing: Vec<_> =
        missing.chain(lists.iter().filter(|field| !manifest.contains(&format!("\n{field} = [")))).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("Cargo.toml lacks {missing:?}")) }
}

fn a_project_builds_with_the_packed_package() -> Result<(), String> {
    let package = unpacked()?;
    let (example, project) = (paths::workspace().join("examples/project"), paths::fresh("a_project")?);
    fs::create_dir(project.join("src")).map_err(text)?;
    fs::copy(example.join("src/main.rs"), project.join("src/main.rs")).map_err(text)?;
    let manifest = fs::read_to_string(example.join("Cargo.toml")).map_err(text)?;
    let by_path = format!("path = \"{}\"", package.display());
    let changed = manifest.replace("path = \"../../rust\"", &by_path);
    if !changed.contains(&by_path) {
        return Err("the example does not name the package by its path".to_owned());
    }
    fs::write(project.join("Cargo.toml"), changed).map_err(text)?;
    // Versions that are known to be here without the network.
    fs::copy(paths::workspace().join("Cargo.lock"), project.join("Cargo.lock")).map_err(text)?;
    let target = project.join("target").display().to_string();
    let printed = output(cargo(&project, &["run", "--quiet", "--target-dir", &target]))?;
    let wanted = "the: 3\nallocator: 2\nserved by Spandrel: true\n";
    if printed == wanted { Ok(()) } else { Err(format!("printed:\n{printed}")) }
}

fn the_pages_have_no_warnings() -> Result<(), String> {
    let target = paths::fresh("pages")?.display().to_string();
    let words = ["doc", "-p", "spandrel-alloc", "--no-deps", "--all-features", "--quiet", "--target-dir", &target];
    let mut command = cargo(&paths::workspace(), &words);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    output(command)?;
    let page = fs::read_to_string(Path::new(&target).join("doc/spandrel/struct.Spandrel.html")).map_err(text)?;
    let methods = ["allocate_zeroed", "grow", "stats", "purge", "start_profile", "usable_size"];
    let missing: Vec<_> = methods.iter().filter(|name| !page.contains(&format!("method.{name}"))).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no page of {missing:?}")) }
}

fn main() -> ExitCode {
    run_cases(
        vec![
            case("the_package_has_every_source", the_package_has_every_source),
            case("a_project_builds_with_the_packed_package", a_project_builds_with_the_packed_package),
            case("the_pages_have_no_warnings", the_pages_have_no_warnings),
        ],
        true,
    )
}
