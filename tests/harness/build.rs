//! Compiles and links test programs with the compiler the `cc` crate finds, and keeps what is still fresh.
//!
//! An object is built once and linked once per variant. Freshness: the result is newer than every input and the command
//! line (kept next to it) is unchanged.
//!
//! # Invariants
//! - Processes that test at the same time share results. Each result appears whole: it is made beside its place and
//!   renamed.
//! - A result depends on its name alone, or two processes would take turns with it: a program that is linked with a
//!   library lies in a folder of that library.

use core::hash::{Hash, Hasher};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::hash::DefaultHasher;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::header::Variant;
use crate::paths;

/// Flags that keep the compiler from reasoning allocation calls away.
const COMMON: [&str; 7] = ["-O1", "-g", "-fno-builtin", "-Wall", "-Wextra", "-Wno-use-after-free", "-D_GNU_SOURCE"];

/// A program's source with what it needs beyond the common flags.
#[derive(Clone, Debug)]
pub struct Source {
    /// A `.c` or `.cpp` file.
    pub path: PathBuf,
    /// Words for both compiler and linker.
    pub flags: Vec<String>,
    /// The name of the results, where one source makes several by its flags; else the name of the file.
    pub name: Option<String>,
}

impl Source {
    /// A source without extra flags.
    pub fn new(path: PathBuf) -> Self {
        Self { path, flags: Vec::new(), name: None }
    }

    fn is_cpp(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "cpp")
    }

    fn stem(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        self.path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    }
}

fn compiler(cpp: bool) -> Command {
    static FOUND: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    let path = FOUND[usize::from(cpp)].get_or_init(|| {
        let mut build = cc::Build::new();
        build.cpp(cpp).opt_level(1).out_dir(paths::output()).target(TARGET).host(TARGET);
        build.cargo_metadata(false).cargo_warnings(false).get_compiler().path().to_path_buf()
    });
    Command::new(path)
}

/// The product supports nothing else yet.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

fn note_of(result: &Path) -> PathBuf {
    let mut name = result.as_os_str().to_owned();
    name.push(".cmd");
    PathBuf::from(name)
}

fn fresh(result: &Path, inputs: &[PathBuf], line: &str) -> bool {
    let Some(built) = modified(result) else { return false };
    let newer = |input: &PathBuf| modified(input).is_none_or(|time| time > built);
    !inputs.iter().any(newer) && fs::read_to_string(note_of(result)).is_ok_and(|kept| kept == line)
}

/// Two callers may want the same result at once: one builds, the other waits.
fn lock_of(result: &Path) -> Arc<Mutex<()>> {
    static LOCKS: OnceLock<Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>> = OnceLock::new();
    let mut table = LOCKS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(table.entry(result.to_path_buf()).or_default())
}

fn produce(mut command: Command, result: &Path, inputs: &[PathBuf]) -> Result<(), String> {
    let lock = lock_of(result);
    let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let line = format!("{command:?}");
    if fresh(result, inputs, &line) {
        return Ok(());
    }
    let draft = draft_of(result);
    let output = command.arg("-o").arg(&draft).output().map_err(|error| format!("{line}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{line}\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    fs::rename(&draft, result).and_then(|()| fs::write(note_of(result), line)).map_err(|error| error.to_string())
}

/// Where this process makes the draft of `result`.
fn draft_of(result: &Path) -> PathBuf {
    let mut draft = result.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    PathBuf::from(draft)
}

fn prepare_folder() -> Result<PathBuf, String> {
    prepared(paths::output())
}

fn prepared(folder: PathBuf) -> Result<PathBuf, String> {
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// The folder of programs that are linked with `library`.
fn folder_for(library: &Path) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    library.hash(&mut hasher);
    prepared(paths::output().join(format!("with-{:016x}", hasher.finish())))
}

/// The source and every header it might include: those beside it, the shared ones, and the public ones.
fn inputs_of(source: &Source) -> Vec<PathBuf> {
    let beside = source.path.parent().map(Path::to_path_buf);
    let folders = beside.into_iter().chain([paths::ffi_support(), paths::include()]);
    let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let is_header = |path: &PathBuf| path.extension().is_some_and(|end| end == "h" || end == "hpp");
    let headers = files.map(|entry| entry.path()).filter(is_header);
    headers.chain([source.path.clone()]).collect()
}

fn object(source: &Source, position_independent: bool) -> Result<PathBuf, String> {
    let suffix = if position_independent { "pic.o" } else { "o" };
    let result = prepare_folder()?.join(format!("{}.{suffix}", source.stem()));
    let mut command = compiler(source.is_cpp());
    command.args(COMMON).arg("-I").arg(paths::ffi_support()).arg("-I").arg(paths::include());
    if source.is_cpp() {
        command.args(["-std=c++17", "-fno-allocation-dce"]);
    }
    if position_independent {
        command.arg("-fPIC");
    }
    command.args(source.flags.iter().filter(|flag| !flag.starts_with("-l"))).arg("-c").arg(&source.path);
    produce(command, &result, &inputs_of(source))?;
    Ok(result)
}

/// A folder in which the loader finds the library under its `SONAME`, as an installation would have it.
fn installed(library: &Path) -> Result<PathBuf, String> {
    let folder = folder_for(library)?;
    let link = folder.join("libspandrel.so.0");
    let lock = lock_of(&link);
    let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
    if fs::read_link(&link).is_ok_and(|target| target == library) {
        return Ok(folder);
    }
    let draft = draft_of(&link);
    let placed = std::os::unix::fs::symlink(library, &draft).and_then(|()| fs::rename(&draft, &link));
    placed.map_err(|error| format!("{}: {error}", link.display()))?;
    Ok(folder)
}

/// Builds a program in one variant and returns its path.
pub fn program(source: &Source, variant: Variant) -> Result<PathBuf, String> {
    let object = object(source, false)?;
    let kind = if variant == Variant::Glibc { Variant::Preload } else { variant };
    let folder = match kind {
        Variant::Preload | Variant::Glibc => prepare_folder()?,
        Variant::Linked => folder_for(&paths::shared_library()?)?,
        Variant::Static => folder_for(&paths::static_library()?)?,
    };
    let result = folder.join(format!("{}.{}", source.stem(), kind.word()));
    let mut command = compiler(source.is_cpp());
    let mut inputs = vec![object.clone()];
    command.arg(object);
    match kind {
        Variant::Preload | Variant::Glibc => {}
        Variant::Linked => {
            let library = paths::shared_library()?;
            let mut rpath = OsString::from("-Wl,-rpath,");
            rpath.push(installed(&library)?);
            command.arg("-Wl,--no-as-needed").arg(&library).arg("-Wl,--as-needed").arg(rpath);
            inputs.push(library);
        }
        Variant::Static => {
            let library = paths::static_library()?;
            // Weak references alone would not take the archive's object in.
            command.arg("-Wl,--undefined=malloc").arg(&library);
            inputs.push(library);
        }
    }
    command.args(&source.flags).args(["-pthread", "-ldl"]);
    produce(command, &result, &inputs)?;
    Ok(result)
}

/// Builds a shared object for programs that load one.
pub fn shared_object(source: &Source) -> Result<PathBuf, String> {
    let object = object(source, true)?;
    let result = prepare_folder()?.join(format!("{}.so", source.stem()));
    let mut command = compiler(source.is_cpp());
    command.arg("-shared").arg(&object).args(&source.flags).arg("-pthread");
    produce(command, &result, &[object])?;
    Ok(result)
}

/// Compiles with the C++ or C compiler and exactly these arguments.
pub fn compile_by_hand(cpp: bool, arguments: &[&std::ffi::OsStr], result: &Path) -> Result<(), String> {
    prepare_folder()?;
    let mut command = compiler(cpp);
    let output = command.args(arguments).arg("-o").arg(result).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
