//! The build that checks its structures after each slow call (`make checked`) runs a mixed load without finding
//! anything.

use std::path::PathBuf;
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::header::Variant;
use harness::suite::{case_if, main as run_cases};
use harness::{paths, run};

const PYTHON: &str = "
import json, threading
def work(): [json.loads(json.dumps([list(range(50))] * 200)) for _ in range(3)]
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(json.dumps({str(i): 'x' * (i % 3000) for i in range(3000)})))
";

fn library() -> PathBuf {
    let release = paths::shared_library().unwrap_or_default();
    release.parent().and_then(|folder| folder.parent()).unwrap_or(&release).join("checked/libspandrel.so")
}

fn finds_nothing(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = run::command(program);
    command.args(arguments).env("LD_PRELOAD", library());
    run::run(&mut command, 120)?.clean()
}

fn workload() -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("workload.c")), Variant::Preload)?;
    finds_nothing(&program.display().to_string(), &["4", "50"])
}

fn main() -> ExitCode {
    let obstacle =
        (!library().is_file()).then(|| format!("{} is not there; `make checked` builds it", library().display()));
    let cases = vec![
        case_if(obstacle.clone(), "threads_and_forks", workload),
        case_if(obstacle.clone(), "python3", || finds_nothing("python3", &["-c", PYTHON])),
        case_if(obstacle, "perl", || {
            finds_nothing("perl", &["-e", "my %h; $h{$_ % 977} .= 'ab' x ($_ % 13) for 1..30000; print 1"])
        }),
    ];
    run_cases(cases, false)
}
