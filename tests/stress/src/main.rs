//! The command line: runs scenarios for a moment or for an hour. `cargo xtask gate check --file stress` compares them
//! with the evidence.

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use spandrel_stress::run::{Done, Order, Outcome};
use spandrel_stress::scenario::{self, PROFILES, Profile, SCENARIOS, Scenario};
use spandrel_stress::{plot, program, report};
use std::process::ExitCode;

const SECONDS_PER_MINUTE: f64 = 60.0;

#[derive(Debug, Parser)]
#[command(about = "Stress for libspandrel: every block stamped and watched, memory seen from outside")]
struct Arguments {
    #[command(subcommand)]
    command: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Run scenarios for a moment each
    Run {
        #[command(flatten)]
        choice: Choice,
        /// How long each of them runs
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
    /// Run scenarios for long, which shows what grows
    Soak {
        #[command(flatten)]
        choice: Choice,
        /// How long all of them run together
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
    },
    /// List scenarios and their profiles
    List,
}

#[derive(Debug, Default, Args)]
struct Part {
    /// Only this one (may be given several times; default: all)
    #[arg(long = "scenario", value_name = "NAME", value_parser = names(SCENARIOS.iter().map(|scenario| scenario.name)))]
    scenarios: Vec<String>,
    /// Only in this profile (may be given several times; default: all that the scenario is run in)
    #[arg(long = "profile", value_name = "NAME", value_parser = names(PROFILES.iter().map(|profile| profile.name())))]
    profiles: Vec<String>,
}

fn names(of: impl Iterator<Item = &'static str>) -> PossibleValuesParser {
    PossibleValuesParser::new(of)
}

impl Part {
    fn has(&self, scenario: &Scenario, profile: Profile) -> bool {
        let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
        chosen(&self.scenarios, scenario.name) && chosen(&self.profiles, profile.name())
    }
}

#[derive(Debug, Default, Args)]
struct Choice {
    #[command(flatten)]
    part: Part,
    /// Seed of all random numbers (default: the clock)
    #[arg(long)]
    seed: Option<u64>,
    /// A further option of the allocator, such as SPANDREL_PURGE_DELAY=0 (may be given several times)
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<String>,
}

fn option(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if name.starts_with("SPANDREL_") => Ok(text.to_owned()),
        _ => Err("an option has the form SPANDREL_NAME=VALUE".to_owned()),
    }
}

fn main() -> ExitCode {
    harness::command::exit(go(&Arguments::parse().command))
}

/// False if something failed; that has been said.
fn go(mode: &Mode) -> Result<bool> {
    match mode {
        Mode::Run { choice, seconds } => publish(&report::run_all(&choice.orders(*seconds)?)?, "run"),
        Mode::Soak { choice, minutes } => {
            let count = choice.orders(1.0)?.iter().filter(|order| order.scenario.obstacle().is_none()).count().max(1);
            publish(&report::run_all(&choice.orders(minutes * SECONDS_PER_MINUTE / count as f64)?)?, "soak")
        }
        Mode::List => {
            for scenario in &SCENARIOS {
                let profiles: Vec<&str> = scenario.profiles.iter().map(|profile| profile.name()).collect();
                println!("{:<26} {}", scenario.name, profiles.join(" "));
            }
            Ok(true)
        }
    }
}

impl Choice {
    fn orders(&self, seconds: f64) -> Result<Vec<Order>> {
        if !(seconds.is_finite() && seconds > 0.0) {
            bail!("a scenario cannot run for {seconds} seconds");
        }
        let seed = self.seed.unwrap_or_else(scenario::seed_of_now);
        let mut orders = scenario::orders(seconds, seed, |scenario, profile| self.part.has(scenario, profile));
        for order in &mut orders {
            order.options.clone_from(&self.options);
        }
        match orders.is_empty() {
            true => bail!("none of these scenarios is run in that profile; `list` shows where they are run"),
            false => Ok(orders),
        }
    }
}

/// Leaves samples and picture in the build output; false if a run failed.
fn publish(all: &[Done], name: &str) -> Result<bool> {
    let folder = program::folder()?;
    let (table, picture) = (folder.join(format!("{name}.csv")), folder.join(format!("{name}.svg")));
    report::write_samples(all, &table)?;
    plot::write(all, &picture)?;
    println!("samples: {}\npicture: {}", table.display(), picture.display());
    Ok(summary(all))
}

fn summary(all: &[Done]) -> bool {
    let count = |wanted: fn(&Outcome) -> bool| all.iter().filter(|done| wanted(&done.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let (passed, skipped) =
        (count(|outcome| *outcome == Outcome::Passed), count(|outcome| matches!(outcome, Outcome::Skipped(_))));
    println!("stress: {passed} passed, {failed} failed, {skipped} skipped");
    failed == 0
}
