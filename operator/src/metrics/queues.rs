//! What queues hold and wait for, as metrics show it. Pure.

use std::collections::BTreeMap;

use plimsoll_scheduling::{JobKey, Snapshot, Standing};

use crate::job::Turn;
use crate::world::World;

/// What a queue has to do with one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueView {
    /// Devices that are its own; `None` without a limit.
    pub nominal: Option<u32>,
    /// Devices that its own jobs hold.
    pub held: u32,
    /// Devices that its waiting jobs ask for.
    pub waiting: u32,
}

impl QueueView {
    /// Devices held beyond its own.
    pub fn borrowed(&self) -> u32 {
        self.nominal.map_or(0, |nominal| self.held.saturating_sub(nominal))
    }
}

/// By queue and class.
pub type Queues = BTreeMap<(String, String), QueueView>;

/// What all queues have to do with all classes that they limit, hold or wait for.
pub(super) fn queues(snapshot: &Snapshot, turns: &BTreeMap<JobKey, Turn>) -> Queues {
    let mut queues = Queues::new();
    for queue in snapshot.queues.iter() {
        for (class, share) in queue.classes.iter().flatten() {
            queues.entry((queue.name.clone(), class.to_string())).or_default().nominal = Some(share.nominal);
        }
    }
    for job in snapshot.jobs.iter() {
        let (Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. }) = &job.standing
        else {
            continue;
        };
        queues.entry((job.queue.clone(), held.shape.class.to_string())).or_default().held += held.shape.gpus();
    }
    for turn in turns.values() {
        let Some((_, numbers, _)) = &turn.waiting else { continue };
        let Some(class) = numbers.class.clone() else { continue };
        queues.entry((turn.job.spec.queue_name.clone(), class)).or_default().waiting += numbers.needs_gpus;
    }
    queues
}

/// The spent share of every budget, by queue, unit and period.
pub(super) fn budgets(world: &World, snapshot: &Snapshot) -> Vec<(Vec<String>, f64)> {
    let mut budgets = Vec::new();
    for object in &world.objects.queues {
        let Some(queue) = object.metadata.name.as_ref().and_then(|name| snapshot.queues.get(name)) else { continue };
        for (spec, budget) in object.spec.budgets.iter().zip(&queue.budgets) {
            let labels = vec![queue.name.clone(), spec.unit.as_str().to_owned(), spec.period.as_str().to_owned()];
            // Of nothing, all is spent.
            budgets.push((labels, if budget.limit > 0.0 { budget.used / budget.limit } else { 1.0 }));
        }
    }
    budgets.sort_by(|a, b| a.0.cmp(&b.0));
    budgets
}
