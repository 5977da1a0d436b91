//! Losses and metrics over the epochs as SVG.

use super::Epoch;
use plotters::prelude::*;
use std::error::Error;

const WIDTH: u32 = 720;
/// Of one chart, in pixels.
const HEIGHT: u32 = 360;

/// One line of a chart.
type Line<'a> = (String, Vec<(f64, f64)>);

/// The losses in one chart, and below it the metrics, if there are any.
pub(super) fn svg(epochs: &[Epoch]) -> Result<String, Box<dyn Error>> {
    let points = |value: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
        let all = epochs.iter().filter_map(|one| Some((one.epoch as f64 + 1.0, value(one)?)));
        all.filter(|(_, y)| y.is_finite()).collect()
    };
    let losses = vec![
        ("training loss".to_owned(), points(&|one| Some(one.train_loss))),
        ("validation loss".to_owned(), points(&|one| Some(one.loss))),
    ];
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in epochs.iter().flat_map(|one| &one.metrics) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let metrics: Vec<Line> = names
        .into_iter()
        .map(|name| {
            let of = |one: &Epoch| one.metrics.iter().find(|(n, _)| n == name).map(|(_, x)| *x);
            (name.clone(), points(&of))
        })
        .collect();
    let mut text = String::new();
    {
        let charts = if metrics.is_empty() { 1 } else { 2 };
        let area = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT * charts)).into_drawing_area();
        area.fill(&WHITE)?;
        for (part, lines) in area.split_evenly((charts as usize, 1)).iter().zip([losses, metrics]) {
            chart(part, &lines)?;
        }
        area.present()?;
    }
    Ok(text)
}

fn chart(
    area: &DrawingArea<SVGBackend, plotters::coord::Shift>,
    lines: &[Line],
) -> Result<(), Box<dyn Error>> {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let low = all().map(pick).fold(f64::INFINITY, f64::min);
        let high = all().map(pick).fold(f64::NEG_INFINITY, f64::max);
        // Nothing or one value still needs some width.
        match (low, high) {
            _ if low > high => 0.0..1.0,
            _ if low == high => low - 0.5..high + 0.5,
            _ => low..high,
        }
    };
    let (x, y) = (range(|p| p.0), range(|p| p.1));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart.configure_mesh().x_desc("epoch").light_line_style(TRANSPARENT).draw()?;
    for (i, (name, points)) in lines.iter().enumerate() {
        let style = Palette99::pick(i).stroke_width(2);
        let legend = style;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], legend));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(())
}
