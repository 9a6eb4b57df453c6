//! The man pages and the completions of the command: complete, and understood by what reads them.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use harness::paths::{self, missing};
use harness::run;
use harness::suite::{case, case_if, main as run_cases};

/// The pages of the commands, and the one about the library.
fn man_pages() -> Result<Vec<PathBuf>, String> {
    let root = paths::workspace();
    let folder = fs::read_dir(root.join("share/man/man1")).map_err(|error| error.to_string())?;
    let mut found: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    found.push(root.join("scripts/packaging/spandrel.7.in"));
    if found.len() < 12 { Err(format!("only {found:?}")) } else { Ok(found) }
}

/// The commands that `spandrel help` lists.
fn commands() -> Result<Vec<String>, String> {
    let help = run::well(run::command(paths::tool()?).arg("help"))?.stdout;
    let list = help.split_once("Commands:\n").map_or("", |(_, list)| list);
    let names = list.lines().map_while(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names: Vec<String> = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    Ok(names.into_iter().filter(|name| name != "help").collect())
}

fn every_command_has_a_page() -> Result<(), String> {
    let share = paths::workspace().join("share/man/man1");
    let first = fs::read_to_string(share.join("spandrel.1")).map_err(|error| error.to_string())?;
    let commands = commands()?;
    for command in &commands {
        let name = format!("spandrel-{command}");
        let page = fs::read_to_string(share.join(format!("{name}.1"))).map_err(|error| format!("{name}: {error}"))?;
        let parts = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"];
        let has =
            |part: &str| [format!(".SH {part}\n"), format!(".SH \"{part}\"\n")].iter().any(|line| page.contains(line));
        if let Some(part) = parts.iter().find(|part| !has(part)) {
            return Err(format!("{name}(1) has no {part}"));
        }
        if !first.contains(&name.replace('-', "\\-")) {
            return Err(format!("spandrel(1) does not name {name}(1)"));
        }
    }
    if commands.len() >= 10 { Ok(()) } else { Err(format!("only {commands:?}")) }
}

fn pages_format_without_warnings() -> Result<(), String> {
    for page in man_pages()? {
        let mut groff = run::command("groff");
        groff.args(["-ww", "-z", "-man", "-Tutf8", "-Kutf8"]).arg(&page);
        let outcome = run::well(&mut groff)?;
        if !outcome.stderr.is_empty() {
            return Err(format!("{}\n{outcome}", page.display()));
        }
    }
    Ok(())
}

fn man_shows_the_pages() -> Result<(), String> {
    for page in man_pages()? {
        let mut man = run::command("man");
        man.args(["--warnings", "--encoding=UTF-8", "--local-file"]).arg(&page).env("MANWIDTH", "80");
        let outcome = run::well(man.env("LC_ALL", "C.UTF-8"))?;
        if !outcome.stderr.is_empty() || !outcome.stdout.contains("SEE ALSO") || outcome.stdout.contains('`') {
            return Err(format!("{}\n{outcome}", page.display()));
        }
    }
    Ok(())
}

/// The words that a shell offers when Tab is pressed behind these.
type Complete = fn(&[&str]) -> Result<Vec<String>, String>;

fn bash(words: &[&str]) -> Result<Vec<String>, String> {
    const SCRIPT: &str = r#"
source "$0"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
$(complete -p spandrel | sed 's/.*-F \([^ ]*\).*/\1/') spandrel "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;
    let file = paths::workspace().join("share/bash-completion/completions/spandrel");
    let outcome = run::well(run::command("bash").args(["--norc", "-c", SCRIPT]).arg(file).args(words))?;
    Ok(outcome.stdout.lines().map(str::to_owned).collect())
}

fn fish(words: &[&str]) -> Result<Vec<String>, String> {
    let file = paths::workspace().join("share/fish/vendor_completions.d/spandrel.fish");
    let script = format!("source {}; complete --do-complete '{}'", file.display(), words.join(" "));
    let mut fish = run::command("fish");
    fish.env("HOME", paths::fresh("fish")?).args(["--no-config", "-c", &script]);
    let outcome = run::well(&mut fish)?;
    Ok(outcome.stdout.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect())
}

/// Types into a zsh on a terminal of its own, whose `compadd` prints the words that it adds.
fn zsh(words: &[&str]) -> Result<Vec<String>, String> {
    const SCRIPT: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= PROMPT= RPROMPT=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -d $2/dump"
zpty -w shell "compadd() { local found=(); builtin compadd -A found \"\$@\"
    (( \$#found )) && print -rl -- 'answer '\${^found}; builtin compadd \"\$@\" }"
zpty -w shell "answer() { _main_complete; exit }; zle -C answer complete-word answer; bindkey '^I' answer; print rea''dy"
zpty -r shell line '*ready*'
zpty -w -n shell "$3"$'\t'
while zpty -r shell line; do print -r -- "$line"; done
"#;
    let folder = paths::workspace().join("share/zsh/site-functions");
    let mut zsh = run::command("zsh");
    zsh.args(["-f", "-c", SCRIPT, "zsh"]).arg(folder).arg(paths::fresh("zsh")?).arg(words.join(" "));
    let outcome = run::well(zsh.env("TERM", "dumb"))?;
    let answers = outcome.stdout.lines().filter_map(|line| line.split_once("answer ")).map(|(_, word)| word);
    Ok(answers.map(|word| word.trim_end_matches(['\r', '\n']).to_owned()).collect())
}

fn has(found: &[String], wanted: &str) -> bool {
    found.iter().any(|word| word == wanted || word.trim_end() == wanted)
}

fn completes(complete: Complete) -> Result<(), String> {
    let found = complete(&["spandrel", ""])?;
    let missing: Vec<String> = commands()?.into_iter().filter(|command| !has(&found, command)).collect();
    if !missing.is_empty() {
        return Err(format!("{missing:?} are not offered, but {found:?}"));
    }
    for (words, wanted, unwanted) in [
        (["spandrel", "pro"].as_slice(), "profile", "run"),
        (&["spandrel", "top", "--"], "--once", "--mode"),
        (&["spandrel", "run", "--m"], "--mode", "--once"),
        (&["spandrel", "run", "--mode", "h"], "hardened", "tracked"),
        (&["spandrel", "profile", "fla"], "flame", "show"),
        (&["spandrel", "profile", "flame", "--out"], "--output", "--rate"),
        (&["spandrel", "run", "tru"], "true", "--mode"),
        (&["spandrel", "profile", "--children", "tru"], "true", "show"),
    ] {
        let found = complete(words)?;
        if !has(&found, wanted) || has(&found, unwanted) || found.iter().any(|word| word.starts_with('<')) {
            return Err(format!("{words:?} gives {found:?}, not {wanted}, or {unwanted} as well"));
        }
    }
    Ok(())
}

/// Behind a program come the completions of that program, if bash has the means.
fn bash_completes_programs() -> Result<(), String> {
    const MEANS: &str = "_command_offset() { COMPREPLY=(\"offset $1\"); }; export -f _command_offset; exec bash \"$@\"";
    let file = paths::workspace().join("share/bash-completion/completions/spandrel");
    for (words, offset) in [
        (["spandrel", "run", "make", ""].as_slice(), 2),
        (&["spandrel", "run", "--mode", "hardened", "make", ""], 4),
        (&["spandrel", "run", "-o", "stats", "=", "1", "--", "make", "-"], 7),
        (&["spandrel", "doctor", "--", "make", ""], 3),
        (&["spandrel", "profile", "--children", "-o", "a", "make", "x", ""], 5),
    ] {
        const SCRIPT: &str = r#"source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _spandrel_program spandrel "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[0]}""#;
        let mut bash = run::command("bash");
        bash.args(["--norc", "-c", MEANS, "bash", "--norc", "-c", SCRIPT]).arg(&file).args(words);
        let outcome = run::well(&mut bash)?;
        if outcome.stdout.trim() != format!("offset {offset}") {
            return Err(format!("{words:?}: the program stands at {offset}\n{outcome}"));
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let cases = vec![
        case("every_command_has_a_page", every_command_has_a_page),
        case_if(missing("groff"), "pages_format_without_warnings", pages_format_without_warnings),
        case_if(missing("man"), "man_shows_the_pages", man_shows_the_pages),
        case_if(missing("bash"), "bash_completes", || completes(bash)),
        case_if(missing("bash"), "bash_completes_programs", bash_completes_programs),
        case_if(missing("zsh"), "zsh_completes", || completes(zsh)),
        case_if(missing("fish"), "fish_completes", || completes(fish)),
    ];
    run_cases(cases, false)
}
