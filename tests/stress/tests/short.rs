//! The short form of the stress suite: every scenario once, the profiles in turn.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::suite::{case_if, main as run_cases};
use spandrel_stress::run::{Order, Outcome};
use spandrel_stress::scenario::SCENARIOS;

const SECONDS: f64 = 0.6;

fn run(order: &Order) -> Result<(), String> {
    match order.run().map_err(|error| format!("{error:#}"))?.outcome {
        Outcome::Passed => Ok(()),
        Outcome::Skipped(reason) => Err(format!("could not run after all: {reason}")),
        Outcome::Failed(failure) => Err(format!("{failure}\nseed {}; to repeat it: {}", order.seed, order.again())),
    }
}

fn main() -> ExitCode {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| u64::from(time.subsec_nanos()));
    let cases = SCENARIOS.iter().enumerate().map(|(number, scenario)| {
        let profile = scenario.profiles[number % scenario.profiles.len()];
        let order = Order { scenario, profile, seconds: SECONDS, seed, options: Vec::new(), before: None };
        case_if(scenario.obstacle(), &order.name(), move || run(&order))
    });
    run_cases(cases.collect(), true)
}
