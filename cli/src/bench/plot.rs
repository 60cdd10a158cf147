//! Drawings, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::figures::Table;
use super::vitals::Sample;

type Sheet<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 480;
const COLOURS: [RGBColor; 6] = [
    RGBColor(90, 90, 90),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

/// One line of a drawing.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// How delays are distributed: the tail is stretched, so that each step of the axis is a tenth of the records before. Nothing
/// is drawn if none were measured.
pub(super) fn latency(table: &Table, path: &Path) -> Result<()> {
    let lines: Vec<Line> = table
        .rows
        .iter()
        .filter(|row| !row.distribution.is_empty())
        .map(|row| Line {
            name: row.subject.to_string(),
            points: row.distribution.iter().filter_map(|&(quantile, us)| stretched(quantile, us)).collect(),
        })
        .collect();
    let tick = |x: &f64| match 1.0 / x {
        rest if rest >= 0.5 => "50 %".into(),
        rest => format!("{} %", 100.0 - rest * 100.0),
    };
    let text = ("from due to received", "quantile", "us");
    draw(path, text, &lines, &tick)
}

fn stretched(quantile: f64, us: f64) -> Option<(f64, f64)> {
    ((0.5..1.0).contains(&quantile) && us > 0.0).then(|| (1.0 / (1.0 - quantile), us))
}

/// Rates over sizes of payloads. Nothing is drawn of fewer than three sizes.
pub(super) fn sizes(table: &Table, path: &Path) -> Result<()> {
    let mut lines: Vec<Line> = Vec::new();
    for row in &table.rows {
        let (Some(size), Some(rate)) = (row.subject.size, row.medians.get("mb_per_s")) else { continue };
        if row.medians.get("p50_us").is_some() || size == 0 {
            continue;
        }
        let name = super::figures::Subject { size: None, ..row.subject.clone() }.to_string();
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push((size as f64, rate)),
            None => lines.push(Line { name, points: vec![(size as f64, rate)] }),
        }
    }
    lines.retain(|line| line.points.len() >= 3);
    let size = |x: &f64| match *x as u64 {
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    };
    let text = ("payload bytes a second, by size of the payload", "size", "MB/s");
    draw(path, text, &lines, &size)
}

/// Both axes are logarithmic.
fn draw(
    path: &Path,
    (title, x, y): (&str, &str, &str),
    lines: &[Line],
    tick: &dyn Fn(&f64) -> String,
) -> Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (xs, ys) = (span(points().map(|point| point.0)), span(points().map(|point| point.1)));
    let (Some((left, right)), Some((least, most))) = (xs, ys) else { return Ok(()) };
    let sheet = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    let drawn = || -> Result<(), DrawingAreaErrorKind<_>> {
        sheet.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&sheet)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((left..right).log_scale(), (least / 1.5..most * 1.5).log_scale())?;
        chart.configure_mesh().x_desc(x).y_desc(y).x_label_formatter(tick).light_line_style(WHITE).draw()?;
        for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .draw()?;
        sheet.present()
    };
    drawn().map_err(|error| anyhow!("{} cannot be drawn: {error}", path.display()))
}

/// What a node took, over time.
pub(super) fn soak(samples: &[Sample], path: &Path) -> Result<()> {
    const MIB: f64 = 1048576.0;
    let of = |value: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        samples.iter().map(|sample| (sample.seconds / 60.0, value(sample))).collect()
    };
    let panels = [
        ("memory of the node, MiB", of(|sample| sample.vitals.memory as f64 / MIB)),
        ("descriptors", of(|sample| sample.vitals.descriptors as f64)),
        ("threads", of(|sample| sample.vitals.threads as f64)),
        ("the channel on disk, MiB", of(|sample| sample.disk as f64 / MIB)),
    ];
    let sheet = SVGBackend::new(path, (WIDTH, HEIGHT + HEIGHT / 2)).into_drawing_area();
    let drawn = || -> Result<(), DrawingAreaErrorKind<_>> {
        sheet.fill(&WHITE)?;
        for (area, (title, points)) in sheet.split_evenly((panels.len(), 1)).iter().zip(&panels) {
            panel(area, title, points)?;
        }
        sheet.present()
    };
    drawn().map_err(|error| anyhow!("{} cannot be drawn: {error}", path.display()))
}

type DrawingError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn panel<'a>(area: &Sheet<'a>, title: &str, points: &[(f64, f64)]) -> Result<(), DrawingError<'a>> {
    let end = points.last().map_or(1.0, |point| point.0);
    let most = points.iter().fold(1.0, |most: f64, point| most.max(point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 14))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..end, 0.0..most * 1.2)?;
    let minutes = |x: &f64| format!("{x:.1} min");
    let whole = |y: &f64| format!("{y:.0}");
    chart
        .configure_mesh()
        .y_labels(4)
        .x_label_formatter(&minutes)
        .y_label_formatter(&whole)
        .light_line_style(WHITE)
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), COLOURS[1].stroke_width(2)))?;
    Ok(())
}

fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let span = values
        .fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), value| (value.min(least), value.max(most)));
    (span.0 < span.1).then_some(span)
}
