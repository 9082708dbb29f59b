//! A sweep's table, and its curves in one picture.

use crate::sweep::Cell;
use fornax_trainer::TrainConfig;
use plotters::prelude::*;
use std::fmt::Write;

/// Rows of the table, the best group first; of each group what was varied and the best of it.
pub(crate) fn table(cells: &[Cell], best: &[&Cell], trainer: &TrainConfig, target: Option<f64>) -> String {
    let mut order: Vec<&Cell> = best.to_vec();
    order.sort_by(|a, b| match (a.value(), b.value()) {
        (Some(x), Some(y)) if trainer.maximizes() => y.total_cmp(&x),
        (Some(x), Some(y)) => x.total_cmp(&y),
        (x, y) => y.is_some().cmp(&x.is_some()),
    });
    let value = |value: Option<f64>| value.map_or("failed".into(), |value| format!("{value:.4}"));
    let reach = target.map_or(String::new(), |target| format!(" steps to {target} | seconds to it |"));
    let mut text = format!("| | best | validation {} | seconds a run |{reach} all |\n", trainer.monitor);
    text += &format!("| --- | --- | --- | --- |{} --- |\n", if target.is_some() { " --- | --- |" } else { "" });
    for cell in order {
        let mean = |f: &dyn Fn(&crate::sweep::Trained) -> Option<f64>| {
            let all: Option<Vec<f64>> = cell.runs.iter().map(f).collect();
            all.map(|all| all.iter().sum::<f64>() / all.len() as f64)
        };
        let seconds = mean(&|run| Some(run.seconds)).unwrap_or(f64::NAN);
        let reached = target.map_or(String::new(), |_| match (mean(&|run| Some(run.reached?.0 as f64)), mean(&|run| Some(run.reached?.1))) {
            (Some(step), Some(seconds)) => format!(" {step:.0} | {seconds:.1} |"),
            _ => " – | – |".into(),
        });
        let short = |cell: &Cell| {
            cell.setting.iter().map(|text| text.split_once('=').map_or(text.as_str(), |(_, value)| value)).collect::<Vec<_>>().join(" ")
        };
        let all: Vec<_> =
            cells.iter().filter(|other| other.group == cell.group).map(|other| format!("{}: {}", short(other), value(other.value()))).collect();
        let _ =
            writeln!(text, "| {} | {} | {} | {seconds:.0} |{reached} {} |", cell.group, cell.setting.join(" "), value(cell.value()), all.join(", "));
    }
    text
}

const SIZE: (u32, u32) = (1100, 760);
/// Between two labels, in pixels.
const LINE: i32 = 17;

/// The curves of the first seed of each cell, with their names at their ends. Nothing where there is no curve.
pub(crate) fn chart(cells: &[&Cell], y: &str) -> String {
    let curve = |cell: &&&Cell| cell.runs.first().is_some_and(|run| run.curve.iter().any(|(_, value)| *value > 0.0 && value.is_finite()));
    let cells: Vec<&&Cell> = cells.iter().filter(curve).collect();
    let points = |cell: &Cell| {
        cell.runs[0].curve.iter().map(|&(step, value)| (step as f64, value)).filter(|(_, v)| *v > 0.0 && v.is_finite()).collect::<Vec<_>>()
    };
    let all: Vec<(f64, f64)> = cells.iter().flat_map(|cell| points(cell)).collect();
    if all.is_empty() {
        return String::new();
    }
    // What diverges leaves the picture at its top.
    let mut first: Vec<f64> = cells.iter().map(|cell| points(cell)[0].1).collect();
    first.sort_by(f64::total_cmp);
    let low = all.iter().map(|p| p.1).fold(f64::INFINITY, f64::min) * 0.98;
    let high = (first[first.len() / 2] * 1.15).max(low * 1.2);
    let (left, right) = all.iter().fold((f64::INFINITY, 0f64), |(a, b), p| (a.min(p.0), b.max(p.0)));
    let mut svg = String::new();
    // A chart that cannot be drawn is left out: the numbers are there.
    if draw(&mut svg, &cells, points, [left, right.max(left + 1.0), low, high], y).is_err() { String::new() } else { svg }
}

fn draw(
    svg: &mut String,
    cells: &[&&Cell],
    points: impl Fn(&Cell) -> Vec<(f64, f64)>,
    [left, right, low, high]: [f64; 4],
    y: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    // A logarithmic axis has marks at powers of ten alone: where there are few, a plain one shows more.
    let logarithmic = high / low > 8.0;
    let height = |y: f64| if logarithmic { y.clamp(low, high).log10() } else { y.clamp(low, high) };
    let (plot, names) = root.split_horizontally(SIZE.0 - 230);
    let mut chart = ChartBuilder::on(&plot)
        .margin(14)
        .margin_right(4)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(left..right, height(low)..height(high))?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc(y)
        .x_label_formatter(&|v| format!("{v:.0}"))
        .y_label_formatter(&|&v| format!("{:.3}", if logarithmic { 10f64.powf(v) } else { v }))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    let colour = |i: usize| HSLColor(i as f64 * 0.618_034 % 1.0, 0.65, 0.32 + 0.12 * (i % 3) as f64);
    let mut ends = vec![];
    for (i, cell) in cells.iter().enumerate() {
        let points = points(cell);
        chart.draw_series(LineSeries::new(points.iter().map(|&(x, y)| (x, height(y))), colour(i).stroke_width(2)))?;
        let end = points[points.len() - 1];
        let at = chart.backend_coord(&(end.0, height(end.1)));
        ends.push((at.1, i, cell.name()));
    }
    // Labels in the order of the ends, apart from each other, as near to them as that lets.
    ends.sort();
    let mut place = Vec::with_capacity(ends.len());
    let mut next = i32::MIN;
    for (at, ..) in &ends {
        next = (*at).max(next);
        place.push(next);
        next += LINE;
    }
    let mut most = SIZE.1 as i32 - 20;
    for at in place.iter_mut().rev() {
        *at = (*at).min(most);
        most = *at - LINE;
    }
    for ((at, i, name), label) in ends.into_iter().zip(place) {
        names.draw(&PathElement::new([(0, at), (14, label)], colour(i).mix(0.6)))?;
        names.draw(&Text::new(name, (18, label - 7), ("sans-serif", 13).into_font().color(&colour(i))))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::{Trained, best};

    fn cell(group: &str, setting: &str, values: &[f64]) -> Cell {
        let curve: Vec<_> = values.iter().enumerate().map(|(i, &v)| (10 * (i as u64 + 1), v)).collect();
        let run = Trained { seed: 0, value: values.last().copied(), seconds: 2.0, curve, error: None, reached: Some((10, 0.5)) };
        Cell { group: group.into(), setting: vec![setting.into()], runs: vec![run] }
    }

    #[test]
    fn the_best_comes_first_and_every_name_is_in_the_picture() {
        let cells =
            [cell("sgd", "optimizer.lr=1", &[2.0, 1.5]), cell("sgd", "optimizer.lr=2", &[2.0, 1.25]), cell("adam", "optimizer.lr=3", &[2.0, 0.5])];
        let trainer = TrainConfig { monitor: "loss".into(), ..TrainConfig::default() };
        let best = best(&cells, &trainer);
        let table = table(&cells, &best, &trainer, Some(1.9));
        let rows: Vec<&str> = table.lines().collect();
        assert!(rows[2].starts_with("| adam | optimizer.lr=3 | 0.5000 | 2 | 10 | 0.5 | 3: 0.5000 |"), "{table}");
        assert!(rows[3].starts_with("| sgd | optimizer.lr=2 | 1.2500 |") && rows[3].ends_with("1: 1.5000, 2: 1.2500 |"), "{table}");
        let svg = chart(&best, "loss");
        assert!(["adam lr=3", "sgd lr=2", "step"].iter().all(|text| svg.contains(text)), "{svg}");
        assert_eq!(chart(&[&cell("none", "a=1", &[])], "loss"), "");
    }
}
