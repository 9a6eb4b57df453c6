//! Where the workspace, the product and the build output are.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, process};

/// The workspace root: the folder above this package.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

fn product(variable: &str, file: &str) -> Result<PathBuf, String> {
    let path = env::var_os(variable).map_or_else(|| workspace().join("target/release").join(file), PathBuf::from);
    match path.canonicalize() {
        Ok(found) => Ok(found),
        Err(error) => Err(format!(
            "{} is missing ({error}); run `cargo build --release` first, or name the file with {variable}",
            path.display()
        )),
    }
}

/// `libspandrel.so`; the environment variable `SPANDREL_SO` overrides the place.
pub fn shared_library() -> Result<PathBuf, String> {
    product("SPANDREL_SO", "libspandrel.so")
}

/// `libspandrel.a`; the environment variable `SPANDREL_A` overrides the place.
pub fn static_library() -> Result<PathBuf, String> {
    product("SPANDREL_A", "libspandrel.a")
}

/// The command `spandrel`, built next to the library.
pub fn tool() -> Result<PathBuf, String> {
    let path = shared_library()?.with_file_name("spandrel");
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing; run `make cli` first", path.display())) }
}

/// The folder for compiled test programs, which test processes share.
pub fn output() -> PathBuf {
    let base = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    if base.is_absolute() { base.join("ffi-tests") } else { workspace().join(base).join("ffi-tests") }
}

/// The folder for files that tests of this process write. The first call removes folders of processes that have ended.
pub fn scratch() -> Result<PathBuf, String> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOLDER.get_or_init(|| own_folder(&output().join("scratch"))).clone()
}

/// An empty folder for this process in `above`, from which those of ended processes are removed.
fn own_folder(above: &Path) -> Result<PathBuf, String> {
    let own = above.join(process::id().to_string());
    let others = fs::read_dir(above).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_left = |folder: &PathBuf| folder.file_name().is_some_and(|name| !Path::new("/proc").join(name).exists());
    for folder in others.filter(is_left).chain([own.clone()]) {
        // Another process may be removing the same.
        let _ = fs::remove_dir_all(folder);
    }
    fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
    Ok(own)
}

/// A fresh folder of this process's for the files of one test.
pub fn fresh(name: &str) -> Result<PathBuf, String> {
    let folder = scratch()?.join(name);
    // It is there only if the test ran before.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// The C and C++ programs, one behaviour each, in folders by subject.
pub fn ffi_sources() -> PathBuf {
    workspace().join("ffi-tests")
}

/// Headers that C and C++ programs share, and the shared objects that they load.
pub fn ffi_support() -> PathBuf {
    ffi_sources().join("support")
}

/// Larger programs which a Rust test drives with arguments.
pub fn program_source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name)
}

/// The public C header's folder.
pub fn include() -> PathBuf {
    workspace().join("include")
}

/// Finds an executable in `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// The reason why a test that needs this program cannot run, if it is not there.
pub fn missing(program: &str) -> Option<String> {
    find_program(program).is_none().then(|| format!("{program} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::{fresh, own_folder, scratch};
    use std::fs;

    #[test]
    fn folders_of_living_processes_stay_and_others_go() -> Result<(), String> {
        let above = fresh("folders_of_living_processes")?;
        let parent = std::os::unix::process::parent_id().to_string();
        // No process has that number: it is above the kernel's largest.
        for name in [parent.as_str(), "4194305"] {
            fs::create_dir_all(above.join(name).join("deep")).map_err(|error| error.to_string())?;
        }
        let own = own_folder(&above)?;
        assert!(own.is_dir() && above.join(&parent).join("deep").is_dir());
        assert!(!above.join("4194305").exists());
        Ok(())
    }

    #[test]
    fn a_process_has_one_folder() -> Result<(), String> {
        assert_eq!(scratch()?, scratch()?);
        assert!(fresh("x")?.starts_with(scratch()?));
        Ok(())
    }
}
