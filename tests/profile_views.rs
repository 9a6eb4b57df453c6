//! Views of profiles: functions of interpreted programs, pages that a browser searches and zooms, pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::expect::End;
use harness::paths;
use harness::profiles::{RATE, dump_of_profiled, shown};
use harness::programs::number;
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};

/// A page for a browser by default, a picture where one is asked for.
fn flames_are_pages_or_pictures() -> Result<(), String> {
    let folder = paths::fresh("flames")?;
    let dump = dump_of_profiled(&folder)?;
    for (name, flags, start) in
        [("a.html", &[][..], "<!DOCTYPE html>"), ("b.svg", &[][..], "<svg"), ("c", &["--output", "svg"][..], "<svg")]
    {
        let path = folder.join(name);
        let text = path.display().to_string();
        shown(&dump, &[&["flame", "-o", &text], flags].concat())?;
        let drawn = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        if !drawn.starts_with(start) || !drawn.contains("hold") {
            return Err(format!("{name}: {drawn}"));
        }
    }
    Ok(())
}

/// A Python that names its functions for perf; else why not.
fn python() -> Result<PathBuf, String> {
    const ASK: &str = "import os, sys; print(sys.executable if sys.is_stack_trampoline_active() else '')\n\
        os.remove(f'/tmp/perf-{os.getpid()}.map')";
    let names = ["python3", "python3.14", "python3.13", "python3.12"].map(PathBuf::from);
    let versions = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
    let versions = versions.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let versions = versions.map(|entry| entry.path().join("bin/python3"));
    let ask = |name: &PathBuf| {
        let said = run::run(run::command(name).args(["-X", "perf", "-c", ASK]), 30).ok()?;
        let path = PathBuf::from(said.stdout.trim());
        (said.end == End::Exit(0) && path.is_file()).then_some(path)
    };
    let found = names.into_iter().chain(versions).find_map(|name| ask(&name));
    found.ok_or_else(|| "takes CPython 3.12 or later, built with its support of perf".to_owned())
}

fn profile_python(python: &Path, flags: &[&str], settings: &[(&str, &str)]) -> Result<(PathBuf, Outcome), String> {
    let output = paths::fresh(&format!("python-{}", settings.len()))?.join("heap.pb.gz");
    let mut command = run::command(paths::tool()?);
    command.args(["profile", "--rate", RATE]).args(flags).arg("-o").arg(&output).arg("--").arg(python);
    command.arg(paths::program_source("profiled.py")).envs(settings.iter().copied());
    let outcome = run::run(&mut command, 60)?;
    if outcome.end == End::Exit(0) { Ok((output, outcome)) } else { Err(format!("{outcome}")) }
}

fn perf_map(outcome: &Outcome) -> Result<PathBuf, String> {
    Ok(PathBuf::from(format!("/tmp/perf-{}.map", number(outcome, "process")?)))
}

/// Stacks are those of the Python program, without the interpreter between its functions, and the file that names them
/// does not stay.
fn functions_of_python_have_names(python: &Path) -> Result<(), String> {
    let (output, outcome) = profile_python(python, &[], &[])?;
    let text = shown(&output, &["show"])?;
    let first = text.lines().nth(2).unwrap_or_default();
    if !first.contains("row") || !first.contains("[profiled.py]") {
        return Err(format!("{text}\n{outcome}"));
    }
    let stacks = shown(&output, &["collapse", "--value", "alloc_space"])?;
    for stack in ["<module>;main;hold;", "<module>;main;churn ", "<module>;main;main.<locals>.<lambda>"] {
        if !stacks.contains(stack) {
            return Err(format!("no {stack} in {stacks}"));
        }
    }
    if perf_map(&outcome)?.exists() {
        return Err("the map stays".to_owned());
    }
    Ok(())
}

/// The user's own choices hold: the interpreter's functions, its allocator, the map.
fn python_as_the_user_wants_it(python: &Path) -> Result<(), String> {
    let (output, outcome) = profile_python(python, &["--native"], &[("PYTHONPERFSUPPORT", "1")])?;
    let stacks = shown(&output, &["collapse", "--value", "alloc_space"])?;
    let own = stacks.lines().any(|line| {
        line.split_once(";main;").is_some_and(|(_, inner)| inner.starts_with("_PyEval") && inner.contains(";hold;"))
    });
    let map = perf_map(&outcome)?;
    if !own || !map.exists() {
        return Err(format!("{stacks}\n{}", map.display()));
    }
    fs::remove_file(map).map_err(|error| error.to_string())?;
    let (output, outcome) = profile_python(python, &[], &[("PYTHONPERFSUPPORT", "0"), ("PYTHONMALLOC", "pymalloc")])?;
    let stacks = shown(&output, &["collapse", "--value", "alloc_space"])?;
    if stacks.contains(";main;") || perf_map(&outcome)?.exists() {
        return Err(format!("it was asked for nothing\n{stacks}"));
    }
    Ok(())
}

/// A browser without a window; else why there is none.
fn browser() -> Result<PathBuf, String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.iter().find_map(|name| paths::find_program(name)).ok_or_else(|| format!("takes one of {}", names.join(", ")))
}

/// Uses the page as a reader does, and writes down what is to be seen: the width of `hold` in percent of the page and how
/// many boxes are marked, at first, after a search, zoomed into `hold`, seen as a whole again, and by another figure.
const READER: &str = r##"<pre id="seen"></pre><script>
const boxes = () => [...document.querySelectorAll("#graph div")];
const of = (name) => boxes().find((box) => box.textContent === name);
const width = (name) => Math.round(100 * of(name).offsetWidth / graph.clientWidth);
const seen = [];
const note = () => seen.push(`${width("hold")}:${boxes().filter((box) => box.classList.contains("found")).length}`);
note();
search.value = "hol"; search.dispatchEvent(new Event("input")); note();
seen.push(found.textContent);
of("hold").click(); note();
document.onkeydown(new KeyboardEvent("keydown", { key: "Escape" })); note();
values.selectedIndex = data.values.findIndex(([name]) => name.startsWith("alloc_space")); values.onchange(); note();
document.getElementById("seen").textContent = `seen=${seen.join(";")}=`;
</script></body>"##;

fn flame_pages_search_and_zoom(browser: &Path) -> Result<(), String> {
    let folder = paths::fresh("browser")?;
    let (dump, page) = (dump_of_profiled(&folder)?, folder.join("flame.html"));
    let text = page.display().to_string();
    shown(&dump, &["flame", "--value", "inuse_space", "-o", &text])?;
    let drawn = fs::read_to_string(&page).map_err(|error| error.to_string())?;
    fs::write(&page, drawn.replace("</body>", READER)).map_err(|error| error.to_string())?;
    let mut command = run::command(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,700", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", folder.join("user").display())).arg(format!("file://{text}"));
    let outcome = run::run(&mut command, 60)?;
    let seen = outcome.stdout.split_once("seen=").and_then(|(_, rest)| rest.split_once('=')).map(|(seen, _)| seen);
    let seen: Vec<_> = seen.ok_or_else(|| format!("the page's script failed\n{outcome}"))?.split(';').collect();
    // `hold` has almost all that is in use, and a ninth of what was asked for.
    let share = |number: usize| seen.get(number).and_then(|seen| seen.split(':').next()?.parse().ok()).unwrap_or(0);
    let marks = |number: usize| seen.get(number).and_then(|seen| seen.split(':').nth(1)).unwrap_or_default();
    let widths = share(0) > 90 && share(1) == share(0) && share(3) >= 99 && share(4) == share(0) && share(5) < 50;
    let right = widths && [0, 1, 3, 4, 5].map(marks) == ["0", "1", "1", "0", "0"] && seen[2].contains(" % found");
    if right { Ok(()) } else { Err(format!("{seen:?}\n{outcome}")) }
}

fn main() -> ExitCode {
    let (python, browser) = (python(), browser());
    let with = |found: &Result<PathBuf, String>, name: &str, check: fn(&Path) -> Result<(), String>| {
        let found = found.clone();
        case_if(found.clone().err(), name, move || check(&found?))
    };
    let cases = vec![
        case("flames_are_pages_or_pictures", flames_are_pages_or_pictures),
        with(&python, "functions_of_python_have_names", functions_of_python_have_names),
        with(&python, "python_as_the_user_wants_it", python_as_the_user_wants_it),
        with(&browser, "flame_pages_search_and_zoom", flame_pages_search_and_zoom),
    ];
    run_cases(cases, false)
}
