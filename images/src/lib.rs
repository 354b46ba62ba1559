//! Container images as OCI archives, written without a container engine and equal to the byte.
//!
//! [`Image`] is any image of one layer without a base. [`Recipe`] makes that of a program of this workspace: the program,
//! the C libraries that it loads, a user, and a list of all that went into it.
//!
//! Nothing here knows a clock, a user or a file's time, so equal files give equal archives.

mod archive;
mod blob;
mod crates;
mod debian;
mod elf;
mod image;
mod libraries;
mod program;
mod recipe;
mod sbom;
mod workspace;

pub use archive::NameTooLong;
pub use blob::sha256;
pub use crates::CratesError;
pub use debian::DebianError;
pub use elf::ElfError;
pub use image::{Archived, Image};
pub use libraries::LibrariesError;
pub use program::{Program, UnknownProgram};
pub use recipe::{Built, Recipe, RecipeError};
pub use workspace::{Workspace, WorkspaceError};
