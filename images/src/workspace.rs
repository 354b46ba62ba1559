//! What an image says of the sources that its program was built from. Asks cargo and git.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand};

use crate::program::Program;
use crate::recipe::Recipe;

/// The sources cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// cargo does not understand them.
    #[error("failed to read the workspace's metadata")]
    Metadata(#[source] cargo_metadata::Error),
    /// git cannot be run.
    #[error("failed to run git")]
    Git(#[source] io::Error),
    /// A program is no package of theirs.
    #[error("failed to find the package {0}")]
    Package(&'static str),
}

/// A checkout of this workspace.
#[derive(Debug)]
pub struct Workspace {
    metadata: Metadata,
    revision: String,
}

impl Workspace {
    /// Reads the checkout in a folder, for the platform that this very program was built for. Blocks.
    ///
    /// # Errors
    /// When cargo or git cannot be asked.
    pub fn read(checkout: &Path) -> Result<Self, WorkspaceError> {
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut command = MetadataCommand::new();
        command.current_dir(checkout);
        command.other_options(["--locked", "--filter-platform", &platform].map(str::to_owned));
        let metadata = command.exec().map_err(WorkspaceError::Metadata)?;
        Ok(Self { metadata, revision: revision(checkout).map_err(WorkspaceError::Git)? })
    }

    /// Where cargo builds to.
    pub fn target(&self) -> PathBuf {
        self.metadata.target_directory.clone().into_std_path_buf()
    }

    /// The version of a program, which is its image's tag.
    ///
    /// # Errors
    /// When the program is no package here.
    pub fn version(&self, program: Program) -> Result<String, WorkspaceError> {
        let package = program.package();
        let found = self.metadata.workspace_packages().into_iter().find(|one| one.name.as_str() == package);
        found.map(|package| package.version.to_string()).ok_or(WorkspaceError::Package(package))
    }

    /// The recipe of a program's image, for the program as it was built at `path`.
    pub fn recipe<'a>(&'a self, program: Program, name: &'a str, path: &'a Path) -> Recipe<'a> {
        let (package, libraries) = (program.package(), program.libraries());
        Recipe { name, package, program: path, libraries, metadata: &self.metadata, revision: &self.revision }
    }
}

/// The commit of the checkout, marked when tracked files differ from it; `unknown` for sources without their history.
fn revision(checkout: &Path) -> io::Result<String> {
    let git = |arguments: &[&str]| -> io::Result<Option<String>> {
        let output = Command::new("git").args(arguments).current_dir(checkout).output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(output.status.success().then_some(text))
    };
    let Some(commit) = git(&["rev-parse", "HEAD"])? else { return Ok("unknown".to_owned()) };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Ok(if changes.is_some_and(|changes| changes.is_empty()) { commit } else { format!("{commit}-changed") })
}
