//! Sizes jobs again without computing anew what has not changed.

use crate::learned::{Fits, StepEvidence};
use crate::search::Search;
use crate::{ClassSpec, Current, Evidence, JobSpec, Menu};

/// Jobs remembered at most: as many distinct ones as a busy cluster has, times two.
const LIMIT: usize = 256;

/// Ways of all of them together at most, of some 150 bytes each.
const WAYS: usize = 262_144;

/// The searches of jobs seen before, on the classes seen last.
///
/// [`Cache::menu`] gives the same menus as [`crate::menu()`], byte for byte. Two jobs with the same [`JobSpec`] share an
/// entry, so that a sweep of equal jobs is sized once. Other classes (a node more, another load line) forget everything;
/// beyond 256 jobs, or 40 MB, the
/// ones that were asked for longest ago go.
#[derive(Debug, Default)]
pub struct Cache {
    classes: Vec<ClassSpec>,
    /// Asked for most lately first.
    known: Vec<Known>,
}

/// One job.
#[derive(Debug)]
struct Known {
    job: JobSpec,
    search: Box<Search>,
    /// What was fitted last, and to what.
    fits: Fits,
    steps: Vec<StepEvidence>,
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
        let at = self.known.iter().position(|known| known.job == *job);
        let mut entry = match at {
            Some(at) => self.known.remove(at),
            None => Known {
                job: job.clone(),
                search: Box::new(Search::new(job, classes)),
                fits: Fits::default(),
                steps: Vec::new(),
            },
        };
        if entry.steps != evidence.steps {
            entry.fits = Fits::learn(job, classes, &entry.search.model, evidence);
            entry.steps.clone_from(&evidence.steps);
        }
        let menu = crate::menu::corrected(job, classes, &entry.search, (evidence, &entry.fits), current);
        self.known.insert(0, entry);
        let mut ways = 0;
        let full = |known: &Known| {
            ways += known.search.ways();
            ways > WAYS
        };
        // The one just asked for stays, however many ways it has.
        let kept = 1 + self.known.iter().skip(1).position(full).unwrap_or(self.known.len());
        self.known.truncate(kept.min(LIMIT));
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
