//! The pages of the documentation keep their word: every command runs as it stands there, every link leads somewhere.
//!
//! Each page is a case, which follows it from top to bottom (`harness::reader`). Blocks that nobody can run here are
//! listed with their reasons.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use harness::suite::{case, main as run_cases};
use harness::{pages, paths, reader, run};

static RAN: AtomicUsize = AtomicUsize::new(0);
static COMPARED: AtomicUsize = AtomicUsize::new(0);
static LEFT_OUT: AtomicUsize = AtomicUsize::new(0);

/// Why a package of Debian is neither there nor can be installed; nothing if it is there. Each is tried once.
fn missing(package: &str) -> Option<String> {
    static TRIED: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut tried = TRIED.lock().ok()?;
    let obstacle = tried.entry(package.to_owned()).or_insert_with(|| {
        let mut command = run::command(paths::workspace().join("scripts/packages"));
        let installed = run::run(command.arg(package), 300).is_ok_and(|outcome| outcome.clean().is_ok());
        (!installed).then(|| format!("the package {package} cannot be installed"))
    });
    obstacle.clone()
}

fn keeps_its_word(page: &Path) -> Result<(), String> {
    let account = reader::follow(&paths::workspace(), page, &missing)?;
    eprint!("{}", reader::left_out(page, &account));
    RAN.fetch_add(account.ran, Ordering::Relaxed);
    COMPARED.fetch_add(account.compared, Ordering::Relaxed);
    LEFT_OUT.fetch_add(account.left_out.len(), Ordering::Relaxed);
    Ok(())
}

/// Writes down where the pages lead outside of the repository; nobody fetches it.
fn external_links_are_addresses() -> Result<(), String> {
    let root = paths::workspace();
    let (mut listed, mut faults) = (String::new(), Vec::new());
    for page in pages::all(&root)? {
        let text = fs::read_to_string(&page).map_err(|error| error.to_string())?;
        let shown = page.strip_prefix(&root).unwrap_or(&page).display().to_string();
        for (line, link) in pages::external(&text) {
            listed.push_str(&format!("{shown}:{line}: {link}\n"));
            if !pages::is_address(link) {
                faults.push(format!("{shown}:{line}: {link} is no address"));
            }
        }
    }
    let list = paths::output().join("external-links.txt");
    fs::write(&list, &listed).map_err(|error| format!("{}: {error}", list.display()))?;
    eprintln!("external links: {}, listed in {}", listed.lines().count(), list.display());
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// The pages with commands, from the root, each with its text's fault if it has one.
fn pages_with_commands() -> Result<Vec<PathBuf>, String> {
    let root = paths::workspace();
    let mut found = Vec::new();
    for page in pages::all(&root)? {
        let text = fs::read_to_string(&page).map_err(|error| error.to_string())?;
        if reader::has_commands(&text).map_err(|what| format!("{}:{what}", page.display()))? {
            found.push(page.strip_prefix(&root).unwrap_or(&page).to_path_buf());
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    let mut cases = vec![case("external_links_are_addresses", external_links_are_addresses)];
    match pages_with_commands() {
        Ok(found) => cases.extend(found.into_iter().map(|page| {
            let name = page.display().to_string();
            case(&name, move || keeps_its_word(&page))
        })),
        Err(what) => cases.push(case("marks_are_understood", move || Err(what))),
    }
    let code = run_cases(cases, false);
    let [ran, compared, left_out] = [&RAN, &COMPARED, &LEFT_OUT].map(|count| count.load(Ordering::Relaxed));
    eprintln!(
        "commands of pages: {ran} ran, {compared} outputs compared, {left_out} blocks not run for the reasons above"
    );
    code
}
