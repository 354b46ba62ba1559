//! Step 3: from a checked specification, the classes and what was learned to a menu, and to the verdict on its data. Pure;
//! remembered between cycles.

use std::sync::Arc;

use plimsoll_crds::TrainingJobSpec;
use plimsoll_crds::training_job::{Allocation, ComputeOptimality, Data, Evidence, Inference, Variant};
use plimsoll_menu::Menu;
use plimsoll_observe::{current, evidence, optimality};
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
    /// Whether its parameters and data fit each other.
    pub optimality: Arc<Optimality>,
}

/// The verdict on a job's parameters and data, and what it was made from.
#[derive(Clone, Debug)]
pub struct Optimality {
    data: Data,
    inference: Option<Inference>,
    variants: Vec<Variant>,
    /// The verdict as the status keeps it.
    pub status: ComputeOptimality,
    /// The same in one sentence; `None` where no law applies.
    pub sentence: Option<String>,
}

/// Makes a menu, or takes the one of the last cycle when nothing that it was made from has changed. Jobs that are equal, and
/// one that new evidence came of, are not searched again.
pub fn size(
    (job, spec): (&TrainingJobSpec, &JobSpec),
    (classes, sizes): (&Arc<Vec<ClassSpec>>, &mut Cache),
    learned: &Evidence,
    held: Option<&Allocation>,
    last: Option<Sized>,
) -> Sized {
    let current = held.and_then(current);
    let same = |last: &&Sized| {
        let Optimality { data, inference, variants, .. } = last.optimality.as_ref();
        last.spec == *spec && *data == job.data && *inference == job.inference && *variants == job.variants
    };
    let verdict = last.as_ref().filter(same).map(|last| last.optimality.clone());
    let optimality = verdict.unwrap_or_else(|| Arc::new(judge(job, spec)));
    if let Some(last) = last
        && last.spec == *spec
        && Arc::ptr_eq(&last.classes, classes)
        && last.evidence == *learned
        && last.current == current
    {
        return Sized { optimality, ..last };
    }
    let menu = sizes.menu(spec, classes, &evidence::to_sizing(learned), current.as_ref());
    Sized {
        spec: spec.clone(),
        classes: classes.clone(),
        evidence: learned.clone(),
        current,
        menu: Arc::new(menu),
        optimality,
    }
}

fn judge(job: &TrainingJobSpec, spec: &JobSpec) -> Optimality {
    let judged = optimality::optimality(job, spec);
    Optimality {
        data: job.data.clone(),
        inference: job.inference.clone(),
        variants: job.variants.clone(),
        status: optimality::to_status(&judged),
        sentence: judged.ok().map(|judged| judged.sentence()),
    }
}
