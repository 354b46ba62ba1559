//! Sizes jobs again without computing anew what has not changed.

use crate::search::Search;
use crate::{ClassSpec, Current, Evidence, JobSpec, Menu};

/// Jobs remembered at most: as many distinct ones as a busy cluster has, times two.
const LIMIT: usize = 256;

/// The searches of jobs seen before, on the classes seen last.
///
/// [`Cache::menu`] gives the same menus as [`crate::menu()`], byte for byte. Two jobs with the same [`JobSpec`] share an
/// entry, so that a sweep of equal jobs is sized once. Other classes (a node more, another load line) forget everything;
/// beyond 256 jobs the one that was asked for longest ago goes.
#[derive(Debug, Default)]
pub struct Cache {
    classes: Vec<ClassSpec>,
    /// Asked for most lately first.
    known: Vec<(JobSpec, Box<Search>)>,
}

impl Cache {
    /// The menu of a job: what [`crate::menu()`] gives.
    pub fn menu(
        &mut self,
        job: &JobSpec,
        classes: &[ClassSpec],
        evidence: &Evidence,
        current: Option<&Current>,
    ) -> Menu {
        if self.classes != classes {
            self.known.clear();
            self.classes = classes.to_vec();
        }
        let at = self.known.iter().position(|(known, _)| known == job);
        let entry = match at {
            Some(at) => self.known.remove(at),
            None => (job.clone(), Box::new(Search::new(job, classes))),
        };
        let menu = crate::menu::corrected(job, classes, &entry.1, evidence, current);
        self.known.truncate(LIMIT - 1);
        self.known.insert(0, entry);
        menu
    }

    /// Jobs remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
