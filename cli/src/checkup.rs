//! Why Spandrel serves a process or a program, or does not.
//!
//! Knows: what keeps a preloaded library out of a program. Must not know: how findings are printed.

use crate::live::{self, Allocator, Binding, Subject};
use crate::quantity::show;
use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The meaning of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// Something is lost, or will fail.
    Warning,
    /// Spandrel does not serve it.
    Inactive,
}

impl Verdict {
    /// In a word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Inactive => "inactive",
        }
    }
}

/// Something found out.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) about: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
    /// The remedy.
    pub(crate) advice: Option<String>,
}

impl Finding {
    /// Without advice.
    pub(crate) fn of(about: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { about, verdict, text: text.into(), advice: None }
    }

    /// The same with advice.
    pub(crate) fn advising(mut self, advice: &str) -> Self {
        self.advice = Some(advice.to_owned());
        self
    }
}

/// Libraries that bring an allocator of their own, and those of sanitizers, by a part of their names.
const ALLOCATORS: [&str; 7] =
    ["jemalloc", "tcmalloc", "libmimalloc", "snmalloc", "librpmalloc", "libhardened_malloc", "libscudo"];
const SANITIZERS: [&str; 5] = ["libasan", "libtsan", "liblsan", "libhwasan", "libclang_rt."];
/// A function of a sanitizer's run-time library, which a program that is built with it has or calls.
const SANITIZED: [&str; 4] = ["__asan_init", "__tsan_init", "__lsan_init", "__msan_init"];
/// The auxiliary value that says that the loader trusts no environment.
const SECURE: usize = 23;

const LINK: &str = "link it with libspandrel.a, or use the Rust package (docs/using.md)";
const BOUND_ELSEWHERE: &str = "blocks of two allocators must not be mixed: was it opened with RTLD_DEEPBIND \
    (SPANDREL_DEEPBIND=clear) or linked with -Bsymbolic, or is the allocator inside it?";
const ONE_ALLOCATOR: &str = "run or build it without its own allocator: Spandrel takes the place of libc's alone";

/// The findings about process `id`.
///
/// # Errors
/// Where there is none.
pub(crate) fn process(id: u32) -> Result<Vec<Finding>> {
    ensure!(live::exists(id), "there is no process {id}");
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default();
    match Subject::open(id) {
        Ok(subject) => Ok(active(&subject, &maps)),
        Err(why) => {
            let mut found = vec![Finding::of("active", Verdict::Inactive, format!("{why:#}"))];
            found.extend(reasons(id, &maps));
            Ok(found)
        }
    }
}

fn active(subject: &Subject, maps: &str) -> Vec<Finding> {
    let how = if maps.contains("libspandrel") { "by the shared library" } else { "linked into the program" };
    let mut found =
        vec![Finding::of("active", Verdict::Fine, format!("Spandrel serves {}, {how}", subject.process().title()))];
    let settings = subject.process().settings();
    let text = if settings.is_empty() { "none: everything is as usual".to_owned() } else { settings.join(" ") };
    found.push(Finding::of("settings", Verdict::Fine, text));
    found.extend(others(maps));
    found.extend(live::bindings(subject.process().id()).map(|bindings| callers(&bindings)).unwrap_or_default());
    if let Ok(picture) = subject.picture() {
        let s = &picture.snapshot;
        let (live, obtained) = (s.live() as u64, s.obtained() as u64);
        found.push(Finding::of("memory", Verdict::Fine, format!("live {}, obtained {}", show(live), show(obtained))));
        if obtained > 2 * live && obtained - live > 64 << 20 {
            let text = format!("{} of what was obtained is not live", show(obtained - live));
            found.push(Finding::of("memory", Verdict::Note, text).advising(
                "spandrel report PID shows where it is; SPANDREL_PURGE_DELAY and SPANDREL_IDLE_RETURN=thread return more",
            ));
        }
        if s.profile == "hosted-small" && s.heaps >= 16 && live > 1 << 30 {
            let text = format!("{} threads and {} live in profile hosted-small", s.heaps, show(live));
            found.push(Finding::of("profile", Verdict::Note, text).advising("try SPANDREL_PROFILE=hosted-server"));
        }
    }
    found
}

/// Allocators and sanitizers besides, by the files that a process has mapped.
fn others(maps: &str) -> Vec<Finding> {
    let files: BTreeSet<&str> = maps.lines().filter_map(|line| line.split_once('/')?.1.rsplit('/').next()).collect();
    let of = |names: &[&str]| files.iter().copied().find(|file| is_named(file, names)).map(str::to_owned);
    let mut found = Vec::new();
    if let Some(file) = of(&ALLOCATORS) {
        found.push(
            Finding::of("allocator", Verdict::Warning, format!("{file} brings another allocator"))
                .advising(ONE_ALLOCATOR),
        );
    }
    if let Some(file) = of(&SANITIZERS) {
        let text = format!("{file}: a sanitizer has to be the allocator itself");
        found.push(
            Finding::of("sanitizer", Verdict::Warning, text)
                .advising("run it without Spandrel, or without the sanitizer"),
        );
    }
    found
}

/// Which allocators the objects of a process call that Spandrel serves.
fn callers(bindings: &[Binding]) -> Vec<Finding> {
    let mut found = Vec::new();
    for binding in bindings {
        for (allocator, functions) in &binding.allocators {
            let owner = match allocator {
                Allocator::Spandrel => continue,
                Allocator::Other(path) => file_name(path),
                Allocator::Unknown => "memory that is no file's".to_owned(),
            };
            let text = format!("{} calls {} of {owner}", file_name(&binding.object), functions.join(", "));
            found.push(Finding::of("caller", Verdict::Warning, text).advising(BOUND_ELSEWHERE));
        }
    }
    if found.is_empty() && !bindings.is_empty() {
        let text = format!("all {} objects that call malloc or free call Spandrel's", bindings.len());
        found.push(Finding::of("caller", Verdict::Fine, text));
    }
    found
}

/// The allocators that the objects of a process call that Spandrel does not serve, without libc's.
fn served_by(bindings: &[Binding]) -> Vec<Finding> {
    let owners =
        bindings.iter().flat_map(|binding| binding.allocators.keys()).filter_map(|allocator| match allocator {
            Allocator::Other(path) => Some(file_name(path)),
            Allocator::Spandrel | Allocator::Unknown => None,
        });
    let owners: BTreeSet<_> =
        owners.filter(|name| !name.starts_with("libc.so") && !is_named(name, &SANITIZERS)).collect();
    let text = |owner| format!("its objects call malloc or free of {owner}");
    owners.iter().map(|owner| Finding::of("caller", Verdict::Warning, text(owner)).advising(ONE_ALLOCATOR)).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn is_named(file: &str, names: &[&str]) -> bool {
    names.iter().any(|name| file.contains(name))
}

/// The causes that may keep Spandrel out of process `id`.
fn reasons(id: u32, maps: &str) -> Vec<Finding> {
    let mut found = others(maps);
    found.extend(live::bindings(id).map(|bindings| served_by(&bindings)).unwrap_or_default());
    let is_loaded = maps.contains("libspandrel");
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    let preload = environment.split(|&byte| byte == 0).find_map(|variable| variable.strip_prefix(b"LD_PRELOAD="));
    let preload = preload.map(|list| String::from_utf8_lossy(list).into_owned());
    if is_loaded {
        let text = "the library is loaded and libc serves: SPANDREL_MODE=libc or SPANDREL_FORCE_LIBC=1, no address space, or no call yet";
        found.push(
            Finding::of("library", Verdict::Warning, text).advising("SPANDREL_DIAG=1 says at exit who served what"),
        );
        return found;
    }
    if is_secure(id) {
        let text = "it has privileges of its own (set-user-ID or capabilities): the loader ignores LD_PRELOAD";
        found.push(Finding::of("privileges", Verdict::Warning, text).advising(LINK));
    }
    if !maps.is_empty() && !maps.contains("/ld-linux") && !maps.contains("/ld-musl") {
        found.push(
            Finding::of("linking", Verdict::Warning, "it is linked statically: nothing can be preloaded")
                .advising(LINK),
        );
    }
    if maps.contains("/ld-musl") {
        found.push(Finding::of("library", Verdict::Warning, "its C library is musl; Spandrel needs glibc"));
    }
    match preload {
        Some(list) if list.contains("spandrel") => {
            let text = format!("LD_PRELOAD={list} was set, and the loader did not load it");
            found.push(
                Finding::of("preload", Verdict::Warning, text)
                    .advising("does the file exist there, and is it for x86-64?"),
            );
        }
        _ => found.push(
            Finding::of("preload", Verdict::Note, "LD_PRELOAD does not name libspandrel.so")
                .advising("start it with `spandrel run PROGRAM`"),
        ),
    }
    found
}

/// Whether the loader of process `id` trusts no environment.
fn is_secure(id: u32) -> bool {
    const WORD: usize = size_of::<usize>();
    let values = fs::read(format!("/proc/{id}/auxv")).unwrap_or_default();
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, usize::from_ne_bytes);
    values.chunks_exact(2 * WORD).any(|pair| word(&pair[..WORD]) == SECURE && word(&pair[WORD..]) != 0)
}

/// The findings about the program that `name` would start.
///
/// # Errors
/// Where there is none.
pub(crate) fn program(name: &OsStr) -> Result<Vec<Finding>> {
    let mut path = search(name)?;
    let mut found = Vec::new();
    let mut data = fs::read(&path)?;
    // An interpreter may be a script, too.
    for _ in 0..4 {
        let Some(line) = data.strip_prefix(b"#!") else { break };
        let line = String::from_utf8_lossy(line.split(|&byte| byte == b'\n').next().unwrap_or_default()).into_owned();
        let mut words = line.split_whitespace();
        let mut interpreter = OsString::from(words.next().context("a script without an interpreter")?);
        if interpreter.to_string_lossy().ends_with("/env") {
            interpreter = words.find(|word| !word.starts_with('-')).context("env without a program")?.into();
        }
        found.push(Finding::of(
            "script",
            Verdict::Note,
            format!("{} is run by {}", path.display(), interpreter.display()),
        ));
        path = search(&interpreter)?;
        data = fs::read(&path)?;
    }
    found.extend(inspect(&path, &data)?);
    Ok(found)
}

fn search(name: &OsStr) -> Result<PathBuf> {
    if name.to_string_lossy().contains('/') {
        return Path::new(name).canonicalize().context("it cannot be found");
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.context("it is not in PATH")?.canonicalize().context("it cannot be found")
}

/// Whether the program that `name` would start is linked with Spandrel; false where that cannot be known.
pub(crate) fn is_linked(name: &OsStr) -> bool {
    let data = search(name).and_then(|path| Ok(fs::read(path)?)).unwrap_or_default();
    object::File::parse(&*data).is_ok_and(|file| defines(&file, &[spandrel::descriptor::SYMBOL]))
}

/// Whether the file has a function or a variable of one of these names.
fn defines(file: &object::File<'_>, names: &[&str]) -> bool {
    let mut symbols = file.symbols().chain(file.dynamic_symbols());
    symbols.any(|symbol| symbol.is_definition() && symbol.name().is_ok_and(|name| names.contains(&name)))
}

/// The findings about the file of a program.
fn inspect(path: &Path, data: &[u8]) -> Result<Vec<Finding>> {
    let Ok(file) = object::File::parse(data) else { bail!("{} is neither a script nor an ELF file", path.display()) };
    let defined = |names: &[&str]| defines(&file, names);
    let is_sanitized = file
        .symbols()
        .chain(file.dynamic_symbols())
        .any(|symbol| symbol.name().is_ok_and(|name| SANITIZED.iter().any(|start| name.starts_with(start))));
    let mut found = Vec::new();
    if file.architecture() != object::Architecture::X86_64 {
        let text = format!("{} is for another processor than x86-64", path.display());
        return Ok(vec![Finding::of("active", Verdict::Inactive, text)]);
    }
    let is_dynamic =
        file.dynamic_symbols().any(|symbol| symbol.is_undefined() && symbol.name() == Ok("__libc_start_main"))
            || file.section_by_name(".interp").is_some();
    if defined(&[spandrel::descriptor::SYMBOL]) {
        found.push(Finding::of("active", Verdict::Fine, format!("{} is linked with Spandrel", path.display())));
    } else if !is_dynamic {
        let text = format!("{} is linked statically: nothing can be preloaded", path.display());
        found.push(Finding::of("active", Verdict::Inactive, text).advising(LINK));
    } else if fs::metadata(path)?.permissions().mode() & 0o6000 != 0 {
        let text = format!("{} is set-user-ID or set-group-ID: the loader ignores LD_PRELOAD", path.display());
        found.push(Finding::of("active", Verdict::Inactive, text).advising(LINK));
    } else if is_sanitized {
        let text = "it is built with a sanitizer, which has to be the allocator itself";
        found.push(Finding::of("active", Verdict::Inactive, text).advising("build it without the sanitizer"));
    } else if defined(&["malloc"]) {
        let text = format!(
            "{} has an allocator of its own inside: its malloc comes before any that is preloaded",
            path.display()
        );
        found.push(Finding::of("active", Verdict::Inactive, text).advising(ONE_ALLOCATOR));
    } else {
        let text = format!("`spandrel run {}` would serve it", path.display());
        found.push(Finding::of("active", Verdict::Fine, text));
        found.push(Finding::of(
            "plugins",
            Verdict::Note,
            "objects opened with RTLD_DEEPBIND get Spandrel, too: SPANDREL_DEEPBIND=clear",
        ));
    }
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python")) {
        let text = "python keeps small objects in an allocator of its own";
        found.push(
            Finding::of("python", Verdict::Note, text).advising("PYTHONMALLOC=malloc gives every object to Spandrel"),
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_leads_to_its_interpreter_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/usr/bin/env -S sh\n").unwrap();
        let found = program(script.as_os_str()).unwrap();
        assert!(found[0].text.ends_with("is run by sh"), "{found:?}");
        assert_eq!(found[1].verdict, Verdict::Fine, "{found:?}");
        assert!(program(OsStr::new("no-such-program")).is_err());
        fs::write(&script, "text").unwrap();
        assert!(program(script.as_os_str()).is_err());
    }

    #[test]
    fn other_allocators_and_sanitizers_are_found_among_mapped_files() {
        let maps = "1-2 r-xp 0 0 0 /usr/lib/libjemalloc.so.2\n2-3 r-xp 0 0 0 /usr/lib/libasan.so.8\n3-4 rw-p 0 0 0\n";
        let about: Vec<_> = others(maps).iter().map(|finding| finding.about).collect();
        assert_eq!(about, ["allocator", "sanitizer"]);
        assert!(others("1-2 r-xp 0 0 0 /usr/lib/libc.so.6\n").is_empty());
    }
}
