//! The cycle: from a snapshot to a plan in named steps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::books::Books;
use crate::cluster::Cluster;
use crate::moves::{self, Reach};
use crate::{Action, Decision, JobKey, Plan, Snapshot, Standing};
use crate::{explain, sizes, start};

/// Decides what happens to every job of the snapshot.
pub fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let rules = &snapshot.rules.moves;
    // 1. Index the snapshot, and account for what is held.
    let mut cluster = Cluster::new(snapshot);
    let mut books = Books::open(&cluster);
    let mut actions: BTreeMap<&JobKey, Action> = BTreeMap::new();

    // 2. Choose sizes for all jobs together.
    let sizes = sizes::choose(snapshot, &cluster, now);
    cluster.aim(&sizes);

    // 2. Move what can do better within its own devices.
    moves::decide(&cluster, &mut books, rules, now, Reach::WithinHeld, None, &mut actions);

    // 3. Start what waits, in turn; take back what those are entitled to who cannot, and keep it for them.
    let mut started = start::start(&cluster, &mut books, &snapshot.rules, now, &mut actions);

    // 4. Move what can do better elsewhere, with what nobody waits for.
    let wanted: BTreeSet<_> = started.waiters.iter().flat_map(|waiter| waiter.wants(&cluster, &books)).collect();
    moves::decide(
        &cluster,
        &mut books,
        rules,
        now,
        Reach::Anywhere { wanted: &wanted },
        Some(&mut started.backfill),
        &mut actions,
    );

    // 5. Say why the others wait, against what is left.
    actions.extend(explain::explain(&cluster, &books, &mut started));

    // 6. Everything else stays as it is.
    let mut decisions: Vec<Decision> = cluster
        .jobs
        .iter()
        .map(|job| {
            let action = match &job.standing {
                Standing::Held { reason, message } => {
                    Action::Wait { reason: *reason, numbers: Default::default(), message: message.clone() }
                }
                _ => actions.remove(&job.key).unwrap_or(Action::Keep),
            };
            Decision { job: job.key.clone(), action }
        })
        .collect();
    decisions.sort_by(|a, b| a.job.cmp(&b.job));
    Plan { decisions, reservations: started.reservations, sizes: Some(sizes) }
}
