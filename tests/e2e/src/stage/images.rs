//! The images of the programs under test, made known to the real node.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use plimsoll_images::{Program, Workspace};
use plimsoll_test_cluster::Cluster;

use crate::binaries::{Binaries, checkout};

/// What stands before the names of images; see `global.imageRegistry` of the chart.
const REGISTRY: &str = "localhost";

/// Makes the images of programs that are built already, and imports them.
pub(super) async fn import(
    cluster: &Cluster,
    binaries: &Binaries,
    progress: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<()> {
    let started = Instant::now();
    let workspace = Workspace::read(&checkout())?;
    for program in Program::ALL {
        let (name, path) = (name(&workspace, program)?, of(binaries, program));
        let image = workspace.recipe(program, &name, path).image();
        let image = image.with_context(|| format!("failed to make the image {name}"))?;
        cluster.import_image(image).await.with_context(|| format!("failed to import the image {name}"))?;
    }
    progress(&format!("images imported in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

fn name(workspace: &Workspace, program: Program) -> anyhow::Result<String> {
    Ok(format!("{REGISTRY}/{}:{}", program.package(), workspace.version(program)?))
}

fn of(binaries: &Binaries, program: Program) -> &Path {
    match program {
        Program::Operator => &binaries.operator,
        Program::Agent => &binaries.agent,
        Program::Trainer => &binaries.trainer,
    }
}
