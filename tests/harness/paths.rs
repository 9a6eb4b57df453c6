//! Where the workspace, the product and the build output are.

use std::env;
use std::path::{Path, PathBuf};

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

/// The folder for compiled test programs and their captured output.
pub fn output() -> PathBuf {
    let base = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    if base.is_absolute() { base.join("ffi-tests") } else { workspace().join(base).join("ffi-tests") }
}

/// The C and C++ programs, one behaviour each.
pub fn ffi_sources() -> PathBuf {
    workspace().join("ffi-tests")
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
