//! The ways that no other way is better than.
//!
//! Evidence may scale memory, compute and communication of a prediction each by its own factor. A way is therefore left
//! out only where another one takes no more memory, no longer and no more communication, and is no less simple: whatever
//! the factors turn out to be, little is lost by not looking at it again.

use crate::{Batch, Layout, Recompute, Sharding};

use super::{Plan, Timed, Way};

/// Share of a step by which communication may be more before it counts as more.
const SAME_COMMUNICATION: f64 = 0.05;

/// Share of a step that makes a less simple way worth it.
const SIMPLER: f64 = 0.01;

/// Ways that are kept, in no order until the end.
#[derive(Debug)]
pub(super) struct Front {
    ways: Vec<Way>,
    /// What takes more is out, but for the way that takes the least.
    most_bytes: u64,
    least_bytes: u64,
}

impl Front {
    pub(super) fn new(most_bytes: u64) -> Self {
        Self { ways: Vec::new(), most_bytes, least_bytes: u64::MAX }
    }

    /// Adds the ways of some plans.
    pub(super) fn add(&mut self, plans: &[Plan], time: impl Fn(&Layout, &Batch) -> Timed) {
        for Plan { layout, cuts } in plans {
            let last = cuts.len().saturating_sub(1);
            let first = cuts.partition_point(|(_, needs)| needs.total > self.most_bytes).min(last);
            for (batch, needs) in cuts.get(first..).unwrap_or_default() {
                if needs.total > self.most_bytes && needs.total >= self.least_bytes {
                    continue;
                }
                self.least_bytes = self.least_bytes.min(needs.total);
                self.insert(Way { layout: *layout, batch: *batch, needs: *needs, step: time(layout, batch) });
            }
        }
    }

    fn insert(&mut self, way: Way) {
        if !self.ways.iter().any(|known| beats(known, &way)) {
            self.ways.retain(|known| !beats(&way, known));
            self.ways.push(way);
        }
    }

    /// By micro-batch, as evidence is carried over by it; then layouts.
    pub(super) fn into_ways(mut self) -> Vec<Way> {
        self.ways.sort_by_key(|way| (way.batch, way.layout));
        self.ways
    }
}

/// Whether the second way is not worth keeping beside the first.
fn beats(one: &Way, other: &Way) -> bool {
    let (a, b) = (&one.step, &other.step);
    one.needs.total <= other.needs.total
        && a.total <= b.total
        && a.communication <= b.communication + SAME_COMMUNICATION * b.total
        && (a.total <= b.total * (1.0 - SIMPLER) || simplicity(one) <= simplicity(other))
}

/// How much a way asks of its program: less is better where steps are about equally long.
pub(crate) fn simplicity(way: &Way) -> (Recompute, u32, u32, u32, u32, Sharding, u32) {
    let Layout { recompute, pipeline, context, expert, tensor, sharding, .. } = way.layout;
    (recompute, pipeline, context, expert, tensor, sharding, way.batch.micro)
}
