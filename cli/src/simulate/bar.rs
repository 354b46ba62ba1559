//! A bar that tells how far a simulation is.

use std::io::Write;

use plimsoll_simulator::Progress;

/// Cells of the bar.
const CELLS: usize = 24;

/// Draws on one line of a terminal; elsewhere it writes one line for each policy.
pub(super) struct Bar<'a> {
    out: &'a mut dyn Write,
    terminal: bool,
    title: String,
    shown: Option<usize>,
}

impl<'a> Bar<'a> {
    /// For one simulation. What it says is talk: a failed write is no error.
    pub(super) fn start(out: &'a mut dyn Write, terminal: bool, title: String) -> Self {
        if !terminal {
            let _ = writeln!(out, "{title}");
        }
        Self { out, terminal, title, shown: None }
    }

    /// Draws it anew where it looks otherwise.
    pub(super) fn set(&mut self, progress: Progress) {
        let Progress { now_seconds, ended, jobs } = progress;
        if !self.terminal || self.shown == Some(ended) {
            return;
        }
        self.shown = Some(ended);
        let full = CELLS * ended / jobs.max(1);
        let (done, left) = ("#".repeat(full), ".".repeat(CELLS - full));
        let hours = now_seconds / 3600.0;
        let _ = write!(self.out, "\r\x1b[K{} [{done}{left}] {ended} of {jobs} ended, hour {hours:.1}", self.title);
        let _ = self.out.flush();
    }

    /// Takes it away.
    pub(super) fn end(self) {
        if self.terminal {
            let _ = write!(self.out, "\r\x1b[K");
            let _ = self.out.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(terminal: bool) -> String {
        let mut out = Vec::new();
        let mut bar = Bar::start(&mut out, terminal, "sia".to_owned());
        for ended in [0, 1, 1, 2] {
            bar.set(Progress { now_seconds: 3600.0, ended, jobs: 2 });
        }
        bar.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_sees_one_line_drawn_anew_as_jobs_end() {
        let text = drawn(true);
        assert_eq!(text.matches("\r\x1b[K").count(), 4, "{text}");
        assert!(text.contains("[############............] 1 of 2 ended, hour 1.0"), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn a_file_has_one_line() {
        assert_eq!(drawn(false), "sia\n");
    }
}
