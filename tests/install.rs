//! Every way of docs/installing.md to give the library to programs: `make install`, Debian packages, systemd, Docker, whole
//! machines.
//!
//! The commands of the page are read from it, and run as they stand there on a copy of this machine.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use harness::blocks::{Block, blocks};
use harness::machine;
use harness::paths::{self, missing};
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};

const PAGE: &str = "docs/installing.md";
fn said<E: core::fmt::Display>(error: E) -> String {
    error.to_string()
}

/// The commands below a heading of the page: those that do something, and those that undo it.
#[derive(Default)]
struct Section {
    steps: String,
    undo: String,
    dockerfile: String,
}

/// The code of the page.
fn page() -> Result<Vec<Block>, String> {
    let text = fs::read_to_string(paths::workspace().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    blocks(&text).map_err(|what| format!("{PAGE}:{what}"))
}

fn section(heading: &str) -> Result<Section, String> {
    let mut section = Section::default();
    for block in page()?.into_iter().filter(|block| block.heading == heading) {
        match block.language.as_str() {
            "sh" if block.introduction.contains("undo") => section.undo.push_str(&block.text()),
            "sh" => section.steps.push_str(&block.text()),
            "dockerfile" => section.dockerfile = block.text(),
            other => return Err(format!("{PAGE}: a block of `{heading}` in an unknown language, {other}")),
        }
    }
    if section.steps.is_empty() { Err(format!("{PAGE}: `{heading}` has no commands")) } else { Ok(section) }
}

const SOURCES: &str = "From the sources";
const ELSEWHERE: &str = "Where the loader does not look";
const PACKAGES: &str = "Debian and Ubuntu packages";
const PROGRAM: &str = "One program";
const SERVICE: &str = "A systemd service";
const DOCKER: &str = "Docker";
const EVERY: &str = "Every program of a machine";
const SET_USER_ID: &str = "Set-user-ID programs";

fn every_command_of_the_page_is_run() -> Result<(), String> {
    let known = [SOURCES, ELSEWHERE, PACKAGES, PROGRAM, SERVICE, DOCKER, EVERY, SET_USER_ID];
    match page()?.iter().find(|block| !known.contains(&block.heading.as_str())) {
        Some(block) => Err(format!("{PAGE}: no test runs the commands of `{}`", block.heading)),
        // A program that was started with the library leaves nothing that could be undone.
        None => known.iter().try_for_each(|heading| match section(heading)? {
            Section { undo, .. } if undo.is_empty() && *heading != PROGRAM => Err(format!("{heading}: no way back")),
            _ => Ok(()),
        }),
    }
}

/// The functions of the scripts below: `no COMMAND` wants it to fail; `uses COMMAND` wants it to run under the library.
const PRELUDE: &str = r#"
no() { if "$@"; then echo "succeeded: $*" >&2; exit 1; fi; }
use=tests/programs/use.c
"#;

/// The packages, made once for all scripts.
fn packages() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let folder = paths::fresh("packages")?;
        let build = folder.join("build");
        fs::create_dir(&build).map_err(said)?;
        let libraries = [paths::shared_library()?, paths::static_library()?];
        let beside = ["libspandrel_jemalloc.so", "libspandrel_jemalloc.a"];
        let compatible = libraries.iter().zip(beside).map(|(library, name)| library.with_file_name(name));
        for file in compatible.chain(libraries.clone()).chain([paths::tool()?]) {
            let name = file.file_name().ok_or("a product without a name")?;
            fs::copy(&file, build.join(name)).map_err(said)?;
        }
        let out = folder.join("deb");
        let mut deb = run::command(paths::workspace().join("scripts/deb"));
        // The address of a maintainer must be one; whose it is, nobody checks.
        run::well(deb.env("DEBEMAIL", "nobody@debian.org").arg(build).arg(&out))?;
        Ok(out)
    };
    MADE.get_or_init(make).clone()
}

/// Runs a script with the library and the command installed as packages, which are removed in the end.
fn with_packages(name: &str, script: &str) -> Result<Outcome, String> {
    const BEFORE: &str = "dpkg --install target/deb/libspandrel0_*.deb target/deb/spandrel_*.deb\n";
    const AFTER: &str = "\ndpkg --purge spandrel libspandrel0\n";
    machine::run(name, &[PRELUDE, BEFORE, script, AFTER].concat(), Some(&packages()?))
}

fn from_the_sources() -> Result<(), String> {
    let Section { steps, undo, .. } = section(SOURCES)?;
    let check = r#"
no sudo sh -c 'command -v cargo'
test "$(command -v spandrel)" = /usr/local/bin/spandrel
spandrel run grep -q libspandrel.so.0 /proc/self/maps
cc $use $(pkg-config --cflags --libs spandrel) -o /tmp/use
/tmp/use
cc -static $use /usr/local/lib/libspandrel.a -o /tmp/use
/tmp/use
grep '^ExecStart=/usr/local/bin/spandrel ' /usr/local/lib/systemd/system/spandrel-serve.service
"#;
    let gone = "hash -r\nno command -v spandrel\nldconfig -p > /tmp/known\nno grep spandrel /tmp/known\n";
    machine::run("sources", &format!("{PRELUDE}{steps}{check}{undo}{gone}"), None).map(drop)
}

fn where_the_loader_does_not_look() -> Result<(), String> {
    let Section { steps, undo, .. } = section(ELSEWHERE)?;
    let after = "rm program.c program\nno test -e $HOME/spandrel\n";
    machine::run("elsewhere", &format!("{PRELUDE}cp $use program.c\n{steps}{undo}{after}"), None).map(drop)
}

fn packages_are_installed_used_and_purged() -> Result<(), String> {
    let Section { steps, undo, .. } = section(PACKAGES)?;
    let check = r#"
for package in libspandrel0 libspandrel-dev spandrel; do
    dpkg-query --show --showformat='${Status} ${Version}\n' $package | grep 'ok installed [0-9]'
    dpkg-deb --field target/deb/${package}_*.deb Depends | grep -E 'libc6 \(>= |libspandrel0 \(= '
    # Systems without pages leave them out at the installation.
    dpkg --verify $package > /tmp/verified || true
    no grep -v ' /usr/share/' /tmp/verified
done
spandrel run true
spandrel run grep -q libspandrel.so.0 /proc/self/maps
LD_PRELOAD=libspandrel.so.0 grep -q libspandrel.so.0 /proc/self/maps
cc $use $(pkg-config --cflags --libs spandrel) -o /tmp/use
/tmp/use
ldd /tmp/use | grep 'libspandrel.so.0 => /lib\|libspandrel.so.0 => /usr/lib'
cc -static $use /usr/lib/x86_64-linux-gnu/libspandrel.a -o /tmp/use
/tmp/use
c++ -x c++ $use $(pkg-config --cflags --libs spandrel) -o /tmp/use
/tmp/use
dpkg-deb --contents target/deb/spandrel_*.deb > /tmp/contents
grep /usr/share/man/man1/spandrel-profile.1.gz /tmp/contents
grep /usr/share/man/man7/spandrel.7.gz /tmp/contents
grep /usr/share/zsh/vendor-completions/_spandrel /tmp/contents
spandrel run sleep 20 &
sleep 1
spandrel stats $! | grep 'sleep'
spandrel doctor $! | grep -v '^inactive'
kill $!
"#;
    let gone = r#"
for package in libspandrel0 libspandrel-dev spandrel; do
    no dpkg-query --show --showformat='${Status}\n' $package
done
"#;
    machine::run("packages", &format!("{PRELUDE}{steps}{check}{undo}{gone}"), None).map(drop)
}

fn packages_are_as_debian_wants_them() -> Result<(), String> {
    let mut lintian = run::command("lintian");
    lintian.args(["--fail-on", "error", "--display-level", "error", "--allow-root"]);
    for entry in fs::read_dir(packages()?).map_err(said)?.flatten() {
        lintian.arg(entry.path());
    }
    run::well(&mut lintian).map(drop)
}

fn one_program() -> Result<(), String> {
    let Section { steps, .. } = section(PROGRAM)?;
    let outcome = with_packages("program", &format!("export SPANDREL_DIAG=1\n{steps}unset SPANDREL_DIAG\n"));
    // The report of the option is no diagnostic; a line of it comes from each of the two.
    let outcome = outcome?;
    let reports = outcome.stderr.lines().filter(|line| line.starts_with("spandrel: diag: profile=")).count();
    let greetings = outcome.stdout.lines().filter(|line| *line == "hello").count();
    if reports >= 2 && greetings == 2 { Ok(()) } else { Err(format!("two programs should report\n{outcome}")) }
}

fn a_systemd_service() -> Result<(), String> {
    let Section { steps, undo, .. } = section(SERVICE)?;
    let before = r#"
cat > /etc/systemd/system/example.service << 'END'
[Unit]
Description=Says what it was given
[Service]
ExecStart=/bin/cat /proc/self/maps /proc/self/environ
END
"#;
    let script = format!(
        "{before}({steps}) > /tmp/with\ngrep -q libspandrel.so.0 /tmp/with\n\
         grep -qa SPANDREL_PROFILE=hosted-server /tmp/with\n\
         ({undo}) > /tmp/without\nno grep -qa spandrel /tmp/without\ngrep -q /cat /tmp/without\n\
         rm /etc/systemd/system/example.service\n"
    );
    with_packages("service", &script).map(drop)
}

fn docker() -> Result<(), String> {
    let Section { steps, undo, dockerfile } = section(DOCKER)?;
    let script = format!(
        "cat > Dockerfile << 'END'\n{dockerfile}END\n\
         ({steps}) > /tmp/with\ntail -n 1 /tmp/with | grep '^1 4 9 16 25$'\n\
         docker run --env SPANDREL_DIAG=1 example 2> /tmp/report\ngrep 'profile=hosted-server' /tmp/report\n\
         export SPANDREL_DIAG=1\nsed -i -e /COPY/d -e /RUN/d -e /ENV/d Dockerfile\n\
         ({undo}docker run example) > /tmp/without 2> /tmp/report\ngrep -c '^1 4 9 16 25$' /tmp/without | grep 2\n\
         no grep spandrel: /tmp/report\nrm Dockerfile\n"
    );
    machine::run("docker", &format!("{PRELUDE}{script}"), Some(&packages()?)).map(drop)
}

/// A set-user-ID program, started by another user than its owner, and what it prints if it obeys the environment.
const PRIVILEGED: &str = r#"
cp "$(command -v grep)" /tmp/privileged
chmod 4755 /tmp/privileged
privileged() { SPANDREL_DIAG=1 chroot --userspec=nobody / /tmp/privileged -q libspandrel.so.0 /proc/self/maps; }
"#;

fn every_program() -> Result<(), String> {
    let Section { steps, undo, .. } = section(EVERY)?;
    let script = format!(
        "{PRIVILEGED}no grep -q libspandrel /proc/self/maps\n{steps}grep -q libspandrel.so.0 /proc/self/maps\n\
         chroot --userspec=nobody / grep -q libspandrel.so.0 /proc/self/maps\nprivileged\n\
         {undo}no grep -q libspandrel /proc/self/maps\nno privileged\n"
    );
    with_packages("every", &script).map(drop)
}

fn set_user_id_programs() -> Result<(), String> {
    let Section { steps, undo, .. } = section(SET_USER_ID)?;
    let script = format!(
        "{PRIVILEGED}gains() {{ LD_PRELOAD=libspandrel.so.0 privileged 2> /tmp/report; }}\n\
         no gains\n{steps}gains\n\
         grep -c 'spandrel: diag: profile=' /tmp/report | grep 1\n\
         {undo}no gains\n"
    );
    with_packages("privileged", &script).map(drop)
}

fn main() -> ExitCode {
    let machine = machine::obstacle();
    let packaging = missing("dpkg-shlibdeps").or_else(|| missing("dpkg-gencontrol"));
    let packaged = || machine.clone().or_else(|| packaging.clone());
    let systemd = packaged().or_else(|| missing("systemd-analyze"));
    let cases = vec![
        case("every_command_of_the_page_is_run", every_command_of_the_page_is_run),
        case_if(machine.clone().or_else(|| missing("pkg-config")), "from_the_sources", from_the_sources),
        case_if(
            machine.clone().or_else(|| missing("pkg-config")),
            "where_the_loader_does_not_look",
            where_the_loader_does_not_look,
        ),
        case_if(packaged(), "packages_are_installed_used_and_purged", packages_are_installed_used_and_purged),
        case_if(
            packaging.clone().or_else(|| missing("lintian")),
            "packages_are_as_debian_wants_them",
            packages_are_as_debian_wants_them,
        ),
        case_if(packaged(), "one_program", one_program),
        case_if(systemd, "a_systemd_service", a_systemd_service),
        case_if(packaged(), "docker", docker),
        case_if(packaged(), "every_program", every_program),
        case_if(packaged(), "set_user_id_programs", set_user_id_programs),
    ];
    run_cases(cases, false)
}
