//! Finds `libspandrel.so`: next to this program where it was built, or where it was installed.
//!
//! Knows: the places. Must not know: what the library is for.

use anyhow::{Context, Result, bail};
use std::env;
use std::path::{Path, PathBuf};

const NAME: &str = "libspandrel.so";
/// The name that the dynamic loader asks for: the only one where nothing to link with is installed.
const SONAME: &str = concat!("libspandrel.so.", env!("CARGO_PKG_VERSION_MAJOR"));
/// Seen from the folder of this program: a build's folder, then `LIBDIR`s of installations whose `bin` it is.
const PLACES: [&str; 4] = [".", "../lib", "../lib64", "../lib/x86_64-linux-gnu"];
/// Seen from the current folder and those above it: a release build of the repository.
const BUILD: &str = "target/release";

/// The library that `named` names, or the first one found.
///
/// # Errors
/// Where there is none, or where the loader could not take its path.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf> {
    let found = match named {
        Some(path) => path.canonicalize().with_context(|| format!("{}", path.display()))?,
        None => {
            let own = env::current_exe().context("where this program is")?;
            let here = env::current_dir().unwrap_or_default();
            candidates(&own, &here).into_iter().find_map(|path| path.canonicalize().ok()).with_context(|| {
                format!("{NAME} is neither beside this program nor installed; name it with --library")
            })?
        }
    };
    if found.to_string_lossy().contains([' ', ':', '\t']) {
        bail!("{}: the loader takes no path with blanks or colons for LD_PRELOAD", found.display());
    }
    Ok(found)
}

fn candidates(own: &Path, here: &Path) -> Vec<PathBuf> {
    let beside = own.parent().unwrap_or(own);
    let installed = PLACES.iter().flat_map(|place| [NAME, SONAME].map(|name| beside.join(place).join(name)));
    installed.chain(here.ancestors().map(|folder| folder.join(BUILD).join(NAME))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_build_comes_before_an_installation_and_that_before_the_current_folder() {
        let paths = candidates(Path::new("/opt/x/bin/spandrel"), Path::new("/home/a"));
        assert_eq!(paths.first().unwrap(), Path::new("/opt/x/bin/./libspandrel.so"));
        assert!(paths.contains(&PathBuf::from("/opt/x/bin/../lib/libspandrel.so")));
        assert!(paths.contains(&PathBuf::from("/opt/x/bin/../lib/x86_64-linux-gnu/libspandrel.so.0")));
        assert_eq!(paths.last().unwrap(), Path::new("/target/release/libspandrel.so"));
    }

    #[test]
    fn a_named_library_must_be_there_and_have_a_path_that_can_be_preloaded() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("with blank.so");
        assert!(find(Some(&bad)).is_err());
        fs::write(&bad, "").unwrap();
        assert!(find(Some(&bad)).unwrap_err().to_string().contains("blanks"));
        let good = folder.path().join("good.so");
        fs::write(&good, "").unwrap();
        assert_eq!(find(Some(&good)).unwrap(), good.canonicalize().unwrap());
    }
}
