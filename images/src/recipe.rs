//! How a program of this workspace becomes an image.

use std::io;
use std::path::{Path, PathBuf};

use cargo_metadata::Metadata;

use crate::archive::NameTooLong;
use crate::crates::{Crates, CratesError};
use crate::debian::{self, DebianError};
use crate::image::Image;
use crate::libraries::{self, LibrariesError};
use crate::sbom;

/// The user and group of every image; the chart sets the same.
const USER: u32 = 65532;

/// A program and what to say of it.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// The image's full name, with its tag.
    pub name: &'a str,
    /// The package of the program.
    pub package: &'a str,
    /// The program, built.
    pub program: &'a Path,
    /// Libraries that it does not name but opens or whose plugins it opens, by file name.
    pub libraries: &'a [&'a str],
    /// `cargo metadata` of the workspace, for the one platform that it is built for.
    pub metadata: &'a Metadata,
    /// The commit that it was built from.
    pub revision: &'a str,
}

/// An image and the list of what went into it.
#[derive(Debug)]
pub struct Built {
    /// The image as an OCI archive.
    pub image: Vec<u8>,
    /// The digest of its manifest.
    pub digest: String,
    /// The list of what went into it, CycloneDX as JSON.
    pub sbom: String,
    /// The same as an OCI archive of an artifact whose subject is the image.
    pub sbom_artifact: Vec<u8>,
}

/// An image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The program is not there.
    #[error("failed to read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Its libraries are not there.
    #[error(transparent)]
    Libraries(#[from] LibrariesError),
    /// Where they come from is not known.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// What it is built of is not known.
    #[error(transparent)]
    Crates(#[from] CratesError),
    /// A path is too long.
    #[error(transparent)]
    Name(#[from] NameTooLong),
}

impl Recipe<'_> {
    /// Makes the image and the list of what went into it. The same files give the same bytes.
    ///
    /// # Errors
    /// When a file is missing, or what went in cannot be told.
    pub fn build(&self) -> Result<Built, RecipeError> {
        let (image, sbom) = self.listed()?;
        let archived = image.archive()?;
        let sbom_artifact = sbom::artifact(&sbom, &format!("{}.cdx.json", self.package), &archived.descriptor)?;
        Ok(Built { image: archived.bytes, digest: archived.digest, sbom, sbom_artifact })
    }

    /// Makes the image alone.
    ///
    /// # Errors
    /// When a file is missing, or what went in cannot be told.
    pub fn image(&self) -> Result<Image, RecipeError> {
        Ok(self.listed()?.0)
    }

    fn listed(&self) -> Result<(Image, String), RecipeError> {
        let content = std::fs::read(self.program).map_err(|e| RecipeError::Read(self.program.to_owned(), e))?;
        let files = libraries::of(self.program, self.libraries)?;
        let packages = debian::of(files.keys().map(PathBuf::as_path))?;
        let crates = Crates::of(self.metadata, self.package)?;
        let sbom = sbom::list(&crates, &packages);
        let (file, root) = (format!("{}.cdx.json", self.package), format!("/usr/bin/{}", self.package));

        let mut image = Image::new(self.name).user(&format!("{USER}:{USER}")).command([root.as_str()]);
        image =
            image.folder("/tmp", 0o1777).file(&root, content).data(&format!("/usr/share/sbom/{file}"), sbom.clone());
        image = image
            .data("/etc/passwd", format!("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}::/:/sbin/nologin\n"))
            .data("/etc/group", format!("root:x:0:\nnonroot:x:{USER}:\n"));
        for (path, content) in files {
            image = image.file(&path.to_string_lossy(), content);
        }
        for (path, text) in packages.iter().filter_map(debian::Package::copyright) {
            image = image.data(&path, text);
        }
        let version = crates.root.version.to_string();
        for (key, value) in [
            ("title", self.package),
            ("description", crates.root.description.as_deref().unwrap_or_default()),
            ("version", &version),
            ("revision", self.revision),
            ("licenses", crates.root.license.as_deref().unwrap_or_default()),
        ] {
            image = image.label(&format!("org.opencontainers.image.{key}"), value);
        }
        Ok((image, sbom))
    }
}
