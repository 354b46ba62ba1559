//! All subjects on one folder.

use crate::{Bar, Evaluation, Published, SUBJECTS};

/// What all subjects say about one folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// By subject and table.
    pub evaluations: Vec<Evaluation>,
    /// What must hold.
    pub bars: Vec<Bar>,
}

/// Asks every subject.
pub fn evaluate(published: &Published) -> Report {
    let mut report = Report::default();
    for subject in SUBJECTS {
        let mut evaluations = (subject.evaluate)(published);
        report.bars.extend((subject.bars)(&evaluations));
        report.evaluations.append(&mut evaluations);
    }
    report
}
