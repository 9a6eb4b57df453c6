//! A copy of this machine to install on: an overlay of the whole file system in a mount namespace of its own, with a root
//! of its own. Nothing that a script does there stays.
//!
//! Knows: how the copy is made (`tests/programs/machine.sh`). Must not know: what is installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::{self, Outcome};
use crate::{paths, run::command};

/// The reason why there can be no copy here.
pub fn obstacle() -> Option<String> {
    let script = "mount -t tmpfs machine \"$0\" && cd \"$0\" && mkdir upper work root && \
        mount -t overlay machine -o \"lowerdir=/,upperdir=$0/upper,workdir=$0/work\" root && chroot root true";
    let trial = || {
        let folder = paths::fresh("machine")?;
        let mut unshare = namespace();
        let outcome = run::run(unshare.args(["sh", "-c", script]).arg(folder), 20)?;
        outcome.clean().map_err(|_| format!("no copy of this machine can be made: {}", outcome.stderr.trim()))
    };
    trial().err()
}

/// Runs a command in namespaces of its own: mounts, and processes, all of which end with the first.
fn namespace() -> Command {
    let mut unshare = command("unshare");
    unshare.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
    unshare
}

/// Has bash run a script on a copy of the machine, which has what was built where a build leaves it, and packages where
/// they are made. The script must end with 0 and leave no file there.
pub fn run(name: &str, script: &str, packages: Option<&Path>) -> Result<Outcome, String> {
    let folder = paths::fresh(&format!("machine-{name}"))?;
    let file = folder.with_extension("script");
    fs::write(&file, script).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut unshare = namespace();
    unshare.arg(paths::program_source("machine.sh")).arg(folder).arg(paths::workspace()).arg(file);
    unshare.args([paths::shared_library()?, paths::static_library()?, paths::tool()?]).args(packages);
    let outcome = run::run(&mut unshare, 300)?;
    outcome.clean()?;
    match outcome.stdout.lines().any(|line| line.starts_with("left: ")) {
        true => Err(format!("files are left over\n{outcome}")),
        false => Ok(outcome),
    }
}
