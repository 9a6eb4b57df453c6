//! `spandrel run`: becomes the program it was told to start, with the library preloaded and the options set.
//!
//! Because it becomes the program (`execve`), status, signals and the process's place among its kin are the program's
//! own. A process beside it, which is no child of the program, answers the library's questions for source lines until
//! the program ends.

use super::symbolize;
use crate::library;
use anyhow::{Context, Result, anyhow, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueHint};
use spandrel::config::OPTIONS;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PREFIX: &str = "SPANDREL_";
const PRELOAD: &str = "LD_PRELOAD";
const SYMBOLIZER: &str = "SPANDREL_SYMBOLIZER";

/// The program to run, and its options.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Mode (`SPANDREL_MODE`)
    #[arg(long, value_parser = choices("MODE"))]
    mode: Option<String>,
    /// Profile (`SPANDREL_PROFILE`)
    #[arg(long, value_parser = choices("PROFILE"))]
    profile: Option<String>,
    /// A file with options, one NAME=VALUE a line (`SPANDREL_CONF`); the environment and other arguments win
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// An option of docs/options.md, such as `stats=1` for `SPANDREL_STATS=1`; may be given several times
    #[arg(long = "option", short = 'o', value_name = "NAME=VALUE", value_parser = setting)]
    options: Vec<(String, String)>,
    /// The library to preload
    #[arg(long)]
    library: Option<PathBuf>,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM",
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

/// The values that the library's table names for an option, as in `calls, thread or off`.
fn choices(name: &str) -> PossibleValuesParser {
    let option = OPTIONS.iter().find(|option| option.name.strip_prefix(PREFIX) == Some(name));
    let words = option.map_or("", |option| option.kind).split([',', ' ']);
    PossibleValuesParser::new(words.map(|word| word.trim_matches('`')).filter(|word| !matches!(*word, "" | "or")))
}

/// Becomes the program.
///
/// # Errors
/// Where there is no library, no such option, or no such program.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let (program, arguments) = request.command.split_first().context("no program is named")?;
    let library = library::find(request.library.as_deref())?;
    let mut command = Command::new(program);
    let settings = settings(request)?;
    if !settings.iter().any(|(name, _)| name == SYMBOLIZER) {
        // Without one, call stacks have no lines: no reason not to run the program.
        if let Ok(number) = symbolize::start() {
            command.env(SYMBOLIZER, number.to_string());
        }
    }
    command.args(arguments).env(PRELOAD, preload(&library)).envs(settings);
    // Comes back only where it fails.
    let error = command.exec();
    bail!("{}: {error}", Path::new(program).display())
}

/// The library before whatever is preloaded already.
pub(super) fn preload(library: &Path) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(others) = env::var_os(PRELOAD).filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    list
}

fn settings(request: &Request) -> Result<Vec<(String, String)>> {
    let named = |name: &str, value: &Option<String>| value.clone().map(|value| (format!("{PREFIX}{name}"), value));
    let conf = request.conf.as_deref().map(whole_path).transpose()?;
    let special = [named("MODE", &request.mode), named("PROFILE", &request.profile), named("CONF", &conf)];
    let settings: Vec<_> = special.into_iter().flatten().chain(request.options.iter().cloned()).collect();
    for (name, _) in &settings {
        if !OPTIONS.iter().any(|option| option.name == name) {
            let known: Vec<_> = OPTIONS.iter().filter_map(|option| option.name.strip_prefix(PREFIX)).collect();
            bail!("there is no option {name}; there are {}", known.join(", ").to_lowercase());
        }
    }
    Ok(settings)
}

/// The path from the root, for a program that changes its directory before it starts another.
fn whole_path(file: &Path) -> Result<String> {
    let path = file.canonicalize().with_context(|| file.display().to_string())?;
    path.into_os_string().into_string().map_err(|path| anyhow!("{}: not text", path.display()))
}

/// `NAME=VALUE` with the variable's full name.
fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("takes NAME=VALUE")?;
    let name = name.to_ascii_uppercase().replace('-', "_");
    let full = if name.starts_with(PREFIX) { name } else { format!("{PREFIX}{name}") };
    Ok((full, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_be_named_short_or_in_full() {
        let expected = ("SPANDREL_PURGE_DELAY".to_owned(), "7".to_owned());
        for text in ["purge_delay=7", "purge-delay=7", "SPANDREL_PURGE_DELAY=7"] {
            assert_eq!(setting(text).unwrap(), expected);
        }
        assert!(setting("stats").is_err());
    }

    #[test]
    fn modes_and_profiles_are_those_of_the_table() {
        use clap::builder::TypedValueParser;
        let names = |option: &str| -> Vec<String> {
            let choices = choices(option);
            let values = choices.possible_values().into_iter().flatten();
            values.map(|value| value.get_name().to_owned()).collect()
        };
        assert_eq!(names("MODE"), ["fast", "libc", "counting", "tracked", "hardened", "guarded", "custom"]);
        let profiles: Vec<&str> = spandrel::config::PROFILES.iter().map(|profile| profile.name).collect();
        assert_eq!(names("PROFILE"), profiles);
    }

    #[test]
    fn a_file_of_options_is_named_from_the_root() {
        let request = |conf: &str| Request {
            mode: None,
            profile: None,
            conf: Some(PathBuf::from(conf)),
            options: Vec::new(),
            library: None,
            command: Vec::new(),
        };
        let set = settings(&request("Cargo.toml")).unwrap();
        assert!(set.len() == 1 && set[0].0 == "SPANDREL_CONF" && set[0].1.starts_with('/'), "{set:?}");
        assert!(settings(&request("no-such.conf")).unwrap_err().to_string().contains("no-such.conf"));
    }

    #[test]
    fn unknown_options_are_refused_and_the_known_ones_named() {
        let request = |option: &str| Request {
            mode: None,
            profile: Some("realtime".to_owned()),
            conf: None,
            options: vec![setting(option).unwrap()],
            library: None,
            command: Vec::new(),
        };
        assert_eq!(settings(&request("stats=1")).unwrap().len(), 2);
        let refusal = settings(&request("statz=1")).unwrap_err().to_string();
        assert!(refusal.contains("SPANDREL_STATZ") && refusal.contains("stats,"), "{refusal}");
    }
}
