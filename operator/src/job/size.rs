//! Step 3: from a checked specification, the classes and what was learned to a menu. Pure; remembered between cycles.

use std::sync::Arc;

use plimsoll_crds::training_job::{Allocation, Evidence};
use plimsoll_menu::Menu;
use plimsoll_observe::{current, evidence};
use plimsoll_sizing::{Cache, ClassSpec, Current, JobSpec};

/// A menu and what it was made from, so that a cycle in which nothing changed costs nothing.
#[derive(Clone, Debug)]
pub struct Sized {
    spec: JobSpec,
    classes: Arc<Vec<ClassSpec>>,
    evidence: Evidence,
    current: Option<Current>,
    /// Ways to run the job.
    pub menu: Arc<Menu>,
}

/// Makes a menu, or takes the one of the last cycle when nothing that it was made from has changed. Jobs that are equal, and
/// one that new evidence came of, are not searched again.
pub fn size(
    spec: &JobSpec,
    (classes, sizes): (&Arc<Vec<ClassSpec>>, &mut Cache),
    learned: &Evidence,
    held: Option<&Allocation>,
    last: Option<Sized>,
) -> Sized {
    let current = held.and_then(current);
    if let Some(last) = last
        && last.spec == *spec
        && Arc::ptr_eq(&last.classes, classes)
        && last.evidence == *learned
        && last.current == current
    {
        return last;
    }
    let menu = sizes.menu(spec, classes, &evidence::to_sizing(learned), current.as_ref());
    Sized { spec: spec.clone(), classes: classes.clone(), evidence: learned.clone(), current, menu: Arc::new(menu) }
}
