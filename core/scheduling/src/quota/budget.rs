//! Budgets: a queue that has used up what it may use in a period starts nothing until the period ends.

use jiff::Timestamp;

use super::{Place, Tree};
use crate::{Budget, Queue};

/// The first budget that is used up, of the queue or of its nearest ancestor, with the queue that has it.
///
/// A budget whose period has ended counts as unused: its new period has begun, though nobody wrote that down yet.
pub(crate) fn exhausted<'a>(tree: &Tree<'a>, place: Place, now: Timestamp) -> Option<(&'a Queue, &'a Budget)> {
    tree.path(place).find_map(|place| {
        let queue = tree.queue(place);
        let budget = queue.budgets.iter().find(|budget| budget.period_ends > now && budget.used >= budget.limit)?;
        Some((queue, budget))
    })
}
