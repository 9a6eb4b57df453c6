//! SVG to PNG, with a font of the system.
//!
//! Knows: resvg. Must not know: what is drawn.

use anyhow::{Context, Result, anyhow, bail};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use std::path::Path;
use std::sync::Arc;

const PREFERRED: &str = "DejaVu Sans";

/// The fonts of the system.
pub struct Fonts(Arc<fontdb::Database>);

impl Fonts {
    /// Looks for them.
    ///
    /// # Errors
    /// When there is none at all: a picture without its words would be worthless.
    pub fn find() -> Result<Self> {
        let mut fonts = fontdb::Database::new();
        fonts.load_system_fonts();
        let named = |family: &str| fonts.faces().any(|face| face.families.iter().any(|(name, _)| name == family));
        let first = fonts.faces().find_map(|face| face.families.first().map(|(name, _)| name.clone()));
        let family = if named(PREFERRED) { Some(PREFERRED.to_owned()) } else { first };
        let Some(family) = family else { bail!("there is no font for the pictures: install fonts-dejavu-core") };
        fonts.set_sans_serif_family(family);
        Ok(Self(Arc::new(fonts)))
    }

    /// Writes the PNG of an SVG.
    ///
    /// # Errors
    /// When the SVG cannot be drawn or the file not written.
    pub fn write(&self, svg: &str, path: &Path) -> Result<()> {
        let options = Options { fontdb: Arc::clone(&self.0), ..Options::default() };
        let tree = Tree::from_str(svg, &options).context("the picture is no SVG")?;
        let size = tree.size().to_int_size();
        let mut pixels = Pixmap::new(size.width(), size.height()).context("the picture has no size")?;
        resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
        pixels.save_png(path).map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
    }
}
