//! Charts of a simulation: completion times, occupancy, restarts, fairness.

use std::error::Error;

use plimsoll_simulator::{Cluster, Ended};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Run, restarts};
use crate::palette::COLOURS;

/// Width and height of the picture, in pixels.
const SIZE: (u32, u32) = (1200, 900);

type Drawn = Result<(), Box<dyn Error + Send + Sync>>;

/// One axis against another, a line for each policy.
struct Panel<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Whether the horizontal axis is logarithmic.
    log: bool,
    lines: Vec<Vec<(f64, f64)>>,
}

/// All charts as one SVG picture.
pub(super) fn svg(cluster: &Cluster, runs: &[Run]) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut text = String::new();
    let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((2, 2));
    let hours = |job: &Ended| job.completion_seconds() / 3600.0;
    let completion = runs.iter().map(|run| shares(run.simulated.jobs.iter().map(hours).collect())).collect();
    let held = runs.iter().map(occupancy).collect();
    let rho = runs.iter().map(|run| shares(run.rho.clone())).collect();
    let total = format!("GPUs held, of {}", cluster.gpus());
    let panels = [
        Panel { title: "Completion times", x: "hours", y: "share of jobs", log: true, lines: completion },
        Panel { title: "Occupancy", x: "hours", y: &total, log: false, lines: held },
        Panel {
            title: "Finish-time fairness",
            x: "time over that alone on an equal share",
            y: "share of jobs",
            log: true,
            lines: rho,
        },
    ];
    for (area, panel) in areas.iter().zip(&panels) {
        panel.draw(area, runs)?;
    }
    if let Some(area) = areas.get(panels.len()) {
        bars(area, runs)?;
    }
    root.present()?;
    drop(areas);
    drop(root);
    Ok(text)
}

/// The share of values up to each.
fn shares(mut values: Vec<f64>) -> Vec<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    values.iter().enumerate().map(|(at, value)| (value.max(1e-3), (at + 1) as f64 / count)).collect()
}

/// GPUs held at each boundary, means of some rounds where there are many.
fn occupancy(run: &Run) -> Vec<(f64, f64)> {
    let rounds = &run.simulated.rounds;
    let some = rounds.len().div_ceil(400).max(1);
    let mean = |rounds: &[plimsoll_simulator::Round]| {
        let held = rounds.iter().map(|round| f64::from(round.held.iter().sum::<u32>())).sum::<f64>();
        let at = rounds.first().map_or(0.0, |round| round.at_seconds);
        (at / 3600.0, held / rounds.len() as f64)
    };
    rounds.chunks(some).map(mean).collect()
}

impl Panel<'_> {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, runs: &[Run]) -> Drawn {
        let all = || self.lines.iter().flatten();
        let right = all().map(|point| point.0).fold(1e-2, f64::max);
        let left = if self.log { all().map(|point| point.0).fold(right, f64::min) } else { 0.0 };
        let top = all().map(|point| point.1).fold(0.0, f64::max).max(1e-9) * 1.02;
        let mut builder = ChartBuilder::on(area);
        builder.caption(self.title, ("sans-serif", 18)).margin(12).x_label_area_size(42).y_label_area_size(64);
        if self.log {
            let mut chart = builder.build_cartesian_2d((left * 0.9..right * 1.1).log_scale(), 0.0..top)?;
            chart.configure_mesh().light_line_style(WHITE).x_desc(self.x).y_desc(self.y).draw()?;
            for ((line, run), colour) in self.lines.iter().zip(runs).zip(COLOURS.iter().cycle()) {
                let style = colour.stroke_width(2);
                chart
                    .draw_series(LineSeries::new(line.iter().copied(), style))?
                    .label(run.simulated.policy.as_str())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .border_style(BLACK.mix(0.3))
                .background_style(WHITE.mix(0.8))
                .draw()?;
        } else {
            let mut chart = builder.build_cartesian_2d(0.0..right, 0.0..top)?;
            chart.configure_mesh().light_line_style(WHITE).x_desc(self.x).y_desc(self.y).draw()?;
            for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
                chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(1)))?;
            }
        }
        Ok(())
    }
}

/// Restarts per job, by application: a group of bars for each, a bar for each policy.
fn bars(area: &DrawingArea<SVGBackend<'_>, Shift>, runs: &[Run]) -> Drawn {
    let by_run: Vec<_> = runs.iter().map(restarts).collect();
    let names: Vec<&str> = by_run.first().map(|sums| sums.keys().copied().collect()).unwrap_or_default();
    let value = |run: usize, name: &str| by_run[run].get(name).map_or(0.0, |sum| sum.0 / sum.1);
    let top = (0..runs.len()).flat_map(|run| names.iter().map(move |name| value(run, name))).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("Restarts per job", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..names.len() as f64, 0.0..top * 1.05)?;
    let label = |x: &f64| {
        // A label stands in the middle of its group.
        if (x.fract() - 0.5).abs() < 1e-6 {
            names.get(*x as usize).copied().unwrap_or("").to_owned()
        } else {
            String::new()
        }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(2 * names.len() + 1)
        .x_label_formatter(&label)
        .y_desc("restarts")
        .draw()?;
    let width = 0.8 / runs.len().max(1) as f64;
    for (run, colour) in (0..runs.len()).zip(COLOURS.iter().cycle()) {
        let bar = |(at, name): (usize, &&str)| {
            let left = at as f64 + 0.1 + run as f64 * width;
            Rectangle::new([(left, 0.0), (left + width, value(run, name))], colour.filled())
        };
        chart.draw_series(names.iter().enumerate().map(bar))?;
    }
    Ok(())
}
