//! Forks too many for one small program: trees, chains, and interpreters that fork while they have threads.

use std::process::ExitCode;

use harness::programs::{Program, bounded};
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

fn tree(arguments: &'static [&'static str]) -> Result<(), String> {
    Program { file: "fork_tree.c", arguments, environment: &[], timeout: 70 }.run_clean().map(drop)
}

const CHAIN: Program<'_> = Program { file: "fork_chain.c", arguments: &["60"], environment: &[], timeout: 70 };

const PYTHON_POOL: &str = "
import multiprocessing, threading
def work(n):
    threads = [threading.Thread(target=lambda: [bytes(i) for i in range(n)]) for _ in range(4)]
    [t.start() for t in threads]; [t.join() for t in threads]
    return sum(len(bytes(i)) for i in range(n))
def storm(results):
    context = multiprocessing.get_context('fork')
    for _ in range(5):
        with context.Pool(3) as pool:
            results.append(sum(pool.map(work, range(100, 130))))
results = []
storms = [threading.Thread(target=storm, args=(results,)) for _ in range(2)]
[t.start() for t in storms]; [t.join() for t in storms]
print(len(results), set(results))
";

fn python_pools() -> Result<(), String> {
    let mut command = run::preloaded("python3")?;
    command.arg("-c").arg(PYTHON_POOL);
    let outcome = run::run(&mut command, 60)?;
    outcome.clean()?;
    let sum: u64 = (100..130_u64).map(|n| n * (n - 1) / 2).sum();
    let wanted = format!("10 {{{sum}}}\n");
    if outcome.stdout == wanted { Ok(()) } else { Err(format!("expected {wanted}\n{outcome}")) }
}

fn shell_forks() -> Result<(), String> {
    let mut command = run::preloaded("sh")?;
    command
        .arg("-c")
        .arg("i=0; while [ $i -lt 300 ]; do (echo $i | cat >/dev/null; exit $((i % 7))); i=$((i+1)); done; echo $i");
    let outcome = run::run(&mut command, 60)?;
    outcome.clean()?;
    if outcome.stdout == "300\n" { Ok(()) } else { Err(format!("expected 300\n{outcome}")) }
}

fn main() -> ExitCode {
    let no_python = paths::missing("python3");
    let cases = vec![
        case("tree_deep", || tree(&["4", "2", "3"])),
        case("tree_wide", || tree(&["1", "40", "8"])),
        case("chain_keeps_memory_bounded", || bounded(&CHAIN.run_clean()?, 40 * 1024)),
        case("chain_under_purge", || {
            Program { environment: &[("SPANDREL_PURGE_DELAY", "0")], ..CHAIN }.run_clean().map(drop)
        }),
        case("chain_on_libc", || {
            Program { environment: &[("SPANDREL_FORCE_LIBC", "1")], ..CHAIN }.run_clean().map(drop)
        }),
        case("shell_300", shell_forks),
        case_if(no_python, "python_pools", python_pools),
    ];
    run_cases(cases, false)
}
