//! The product, installed into a folder of its own: once for all cases of a test process.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::{paths, run};

/// The folder, which is the prefix of the installation.
///
/// # Errors
/// When something is not built.
pub fn tree() -> Result<PathBuf, String> {
    static TREE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TREE.get_or_init(|| {
        let (tree, library) = (paths::fresh("installed")?, paths::shared_library()?);
        let built = library.parent().ok_or("the library has no folder")?;
        let mut command = run::command(paths::workspace().join("scripts/install"));
        command.arg("install").arg(built).env("PREFIX", &tree).env("LIBDIR", tree.join("lib")).env("DESTDIR", "");
        run::well(&mut command)?;
        Ok(tree)
    })
    .clone()
}
