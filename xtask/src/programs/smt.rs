//! Problems for a solver, too many to be kept: made anew, and the same each time.
//!
//! Knows: SMT-LIB. Must not know: which solver reads them.

use super::generate::Numbers;
use std::fmt::Write;

/// Job-shop problems in SMT-LIB: can all jobs be done by a given time? Some can, most cannot.
#[must_use]
pub(super) fn smt_problems() -> String {
    const PROBLEMS: u64 = 22;
    let mut text = String::from("(set-option :smt.random_seed 1)\n");
    (1..=PROBLEMS).for_each(|seed| text.push_str(&shop(seed)));
    text
}

/// One problem: each job visits every machine in an order of its own, and no machine serves two jobs at once.
fn shop(seed: u64) -> String {
    const JOBS: usize = 9;
    const MACHINES: usize = 7;
    const LONGEST: u64 = 9;
    const SLACK: u64 = 4;
    let mut numbers = Numbers::new(seed);
    let times: Vec<Vec<u64>> = (0..JOBS).map(|_| (0..MACHINES).map(|_| 1 + numbers.below(LONGEST)).collect()).collect();
    let orders: Vec<Vec<usize>> = (0..JOBS).map(|_| order(&mut numbers, MACHINES)).collect();
    let step_at = |job: usize, machine: usize| orders[job].iter().position(|at| *at == machine).unwrap_or(0);
    let mut text = String::from("(push)\n");
    for (job, times) in times.iter().enumerate() {
        for step in 0..MACHINES {
            let _ = writeln!(text, "(declare-const s{job}_{step} Int) (assert (>= s{job}_{step} 0))");
            if step > 0 {
                let _ = writeln!(text, "(assert (>= s{job}_{step} (+ s{job}_{0} {1})))", step - 1, times[step - 1]);
            }
        }
    }
    for machine in 0..MACHINES {
        for (left, right) in (0..JOBS).flat_map(|left| (left + 1..JOBS).map(move |right| (left, right))) {
            let (one, two) = (step_at(left, machine), step_at(right, machine));
            let (long, short) = (times[left][one], times[right][two]);
            let _ = writeln!(
                text,
                "(assert (or (<= (+ s{left}_{one} {long}) s{right}_{two}) (<= (+ s{right}_{two} {short}) s{left}_{one})))"
            );
        }
    }
    let longest_job = times.iter().map(|times| times.iter().sum::<u64>()).max().unwrap_or(0);
    let load = |machine: usize| (0..JOBS).map(|job| times[job][step_at(job, machine)]).sum::<u64>();
    let limit = (0..MACHINES).map(load).max().unwrap_or(0).max(longest_job) + SLACK;
    for (job, times) in times.iter().enumerate() {
        let _ = writeln!(text, "(assert (<= (+ s{job}_{0} {1}) {limit}))", MACHINES - 1, times[MACHINES - 1]);
    }
    text.push_str("(check-sat)\n(pop)\n");
    text
}

fn order(numbers: &mut Numbers, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, usize::try_from(numbers.below(last as u64 + 1)).unwrap_or(0));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_the_same_each_time() {
        assert_eq!(smt_problems(), smt_problems());
    }

    #[test]
    fn problems_are_balanced_and_complete() {
        let text = smt_problems();
        assert_eq!(text.matches('(').count(), text.matches(')').count());
        assert_eq!(text.matches("(check-sat)").count(), text.matches("(push)").count());
    }
}
