//! A picture of a menu: device memory and speed, against micro-batch and against devices.

use std::error::Error;
use std::path::{Path, PathBuf};

use plimsoll_sizing::{Batch, ClassSpec, estimate};
use plotters::coord::Shift;
use plotters::prelude::*;
use thiserror::Error as ThisError;

use super::Sized;
use super::table::rate_unit;
use crate::palette::COLOURS;

/// Width and height of the picture, in pixels.
const SIZE: (u32, u32) = (1200, 860);
const GIB: f64 = 1_073_741_824.0;

/// Why there is no picture.
#[derive(Debug, ThisError)]
pub(crate) enum PlotError {
    #[error("failed to draw {count} jobs in one picture: give a file with one")]
    SeveralJobs { count: usize },
    #[error("failed to draw {name}: it fits on none of the classes, so there is nothing to show")]
    Nothing { name: String },
    #[error("failed to write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// One axis against another, a line for each class.
struct Panel {
    title: &'static str,
    x: &'static str,
    y: String,
    lines: Vec<Line>,
}

struct Line {
    class: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
    /// What may be filled, where the axis is memory.
    limit: Option<f64>,
}

/// Draws the menu of one job into an SVG file.
pub(super) fn draw(jobs: &[Sized], path: &Path) -> Result<(), PlotError> {
    let [job] = jobs else { return Err(PlotError::SeveralJobs { count: jobs.len() }) };
    if job.menu.candidates.is_empty() {
        return Err(PlotError::Nothing { name: job.name.clone() });
    }
    let written = |source: Box<dyn Error + Send + Sync>| PlotError::Write { path: path.to_owned(), source };
    // The library writes when it is dropped, and then says nothing of what failed.
    let mut text = String::new();
    picture(job, &mut text).map_err(written)?;
    std::fs::write(path, text).map_err(|source| written(source.into()))
}

fn picture(job: &Sized, text: &mut String) -> Result<(), Box<dyn Error + Send + Sync>> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let body = root.titled(&format!("{}, global batch {}", job.name, job.job.global_batch), ("sans-serif", 24))?;
    for (area, panel) in body.split_evenly((2, 2)).iter().zip(panels(job)) {
        panel.draw(area)?;
    }
    root.present()?;
    drop(body);
    Ok(())
}

fn panels(job: &Sized) -> [Panel; 4] {
    let rate = rate_unit(&job.job);
    let memory = || "GiB per GPU".to_owned();
    let panel = |title, x, y, point: fn(&Sized, &ClassSpec) -> Vec<(f64, f64)>, limited: bool| Panel {
        title,
        x,
        y,
        lines: lines(job, point, limited),
    };
    [
        panel(
            "Device memory by micro-batch (dashed: the memory line)",
            "micro-batch",
            memory(),
            |j, c| by_micro(j, c, true),
            true,
        ),
        panel("Speed by micro-batch", "micro-batch", rate.to_owned(), |j, c| by_micro(j, c, false), false),
        panel("Device memory by GPUs (dashed: the memory line)", "GPUs", memory(), |j, c| by_gpus(j, c, true), true),
        panel("Speed by GPUs", "GPUs", rate.to_owned(), |j, c| by_gpus(j, c, false), false),
    ]
}

fn lines(job: &Sized, points: impl Fn(&Sized, &ClassSpec) -> Vec<(f64, f64)>, limited: bool) -> Vec<Line> {
    let lines = job.classes.iter().zip(COLOURS.iter().cycle()).map(|(class, colour)| Line {
        class: class.name.to_string(),
        colour: *colour,
        points: points(job, class),
        limit: limited.then(|| class.memory_line_bytes() as f64 / GIB),
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

/// Every cut of the batch on the devices and in the layout that the menu prefers for a class.
fn by_micro(job: &Sized, class: &ClassSpec, memory: bool) -> Vec<(f64, f64)> {
    let Some(best) = job.menu.candidates.iter().find(|candidate| candidate.shape.class == class.name) else {
        return Vec::new();
    };
    let mut cuts = Batch::cuts(job.job.global_batch, best.layout.data);
    cuts.reverse();
    let point = |batch: Batch| {
        let predicted = estimate(&job.job, class, &best.shape, &best.layout, &batch).predicted;
        let y = if memory { predicted.device_memory_bytes as f64 / GIB } else { job.rate(predicted.step_seconds) };
        (f64::from(batch.micro), y)
    };
    // What is far beyond the card would leave the rest too small to see.
    let most = 2.0 * class.memory_bytes as f64;
    let fits = |batch: &Batch| {
        let predicted = estimate(&job.job, class, &best.shape, &best.layout, batch).predicted;
        predicted.device_memory_bytes as f64 <= most
    };
    cuts.into_iter().take_while(fits).map(point).collect()
}

/// The first choice of the menu for each count of devices.
fn by_gpus(job: &Sized, class: &ClassSpec, memory: bool) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for candidate in job.menu.candidates.iter().filter(|candidate| candidate.shape.class == class.name) {
        let x = f64::from(candidate.shape.gpus());
        let predicted = &candidate.predicted;
        let y = if memory { predicted.device_memory_bytes as f64 / GIB } else { job.rate(predicted.step_seconds) };
        if !points.iter().any(|(known, _)| (known - x).abs() < 0.5) {
            points.push((x, y));
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let all = || self.lines.iter().flat_map(|line| line.points.iter());
        let right = all().map(|point| point.0).fold(2.0, f64::max);
        let top = all().map(|point| point.1).chain(self.lines.iter().filter_map(|line| line.limit)).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(72)
            .build_cartesian_2d((0.9..right * 1.1).log_scale().base(2.0), 0.0..(top * 1.08).max(1e-9))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(self.x)
            .y_desc(self.y.as_str())
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| short(*y))
            .draw()?;
        for line in &self.lines {
            let style = line.colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style).point_size(3))?
                .label(line.class.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            if let Some(limit) = line.limit {
                let dashed = [(0.9, limit), (right * 1.1, limit)];
                chart.draw_series(DashedLineSeries::new(dashed, 6, 4, line.colour.stroke_width(1)))?;
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE.mix(0.8))
            .draw()?;
        Ok(())
    }
}

/// A number of an axis with as many digits as help.
fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e4 => format!("{:.0}k", n / 1e3),
        n if n >= 10.0 || n == n.trunc() => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}
