//! Line charts as SVG text.

use plotters::prelude::*;

const SIZE: (u32, u32) = (640, 300);
/// Lines with at most so many points have them marked.
const MARKED: usize = 30;
const COLOURS: [RGBColor; 4] = [RGBColor(31, 119, 180), RGBColor(214, 87, 38), RGBColor(44, 140, 70), RGBColor(130, 80, 170)];

/// A named line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// `(x, y)`, x ascending.
    pub points: Vec<(f64, f64)>,
}

/// Lines over a linear axis. Empty text if there is no finite point.
pub fn lines(x: &str, y: &str, all: &[Line]) -> String {
    let points = || all.iter().flat_map(|line| finite(&line.points));
    let Some((xs, ys)) = ranges(points()) else { return String::new() };
    // The legend stands where the lines do not end.
    let ends_high = all.iter().filter_map(|line| finite(&line.points).last()).any(|(_, y)| y > (ys.0 + ys.1) / 2.0);
    let corner = if ends_high { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight };
    let mut svg = String::new();
    let drawn = draw(&mut svg, SIZE, |root| {
        let mut chart = ChartBuilder::on(&root).margin(12).x_label_area_size(38).y_label_area_size(62).build_cartesian_2d(xs.0..xs.1, ys.0..ys.1)?;
        let label = |v: &f64| short(*v);
        chart.configure_mesh().x_desc(x).y_desc(y).x_label_formatter(&label).y_label_formatter(&label).light_line_style(WHITE.mix(0.0)).draw()?;
        for (line, colour) in all.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(finite(&line.points), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            // Few points are shown as such: a line through one is nothing.
            if line.points.len() <= MARKED {
                chart.draw_series(finite(&line.points).map(|point| Circle::new(point, 3, colour.filled())))?;
            }
        }
        chart.configure_series_labels().position(corner).background_style(WHITE.mix(0.85)).border_style(BLACK.mix(0.2)).draw()?;
        Ok(())
    });
    if drawn { svg } else { String::new() }
}

/// A named area between two lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// For the legend.
    pub name: String,
    /// `(x, low, high)`, x ascending.
    pub points: Vec<(f64, f64, f64)>,
}

/// Lines over an area. Empty text if there is no finite point.
pub fn band(x: &str, y: &str, area: &Band, all: &[Line]) -> String {
    let edge = area.points.iter().copied().filter(|(x, low, high)| x.is_finite() && low.is_finite() && high.is_finite());
    let outline: Vec<(f64, f64)> = edge.clone().map(|(x, low, _)| (x, low)).chain(edge.map(|(x, _, high)| (x, high)).rev()).collect();
    let points = || all.iter().flat_map(|line| finite(&line.points)).chain(outline.iter().copied());
    let Some((xs, ys)) = ranges(points()) else { return String::new() };
    let mut svg = String::new();
    let drawn = draw(&mut svg, (1200, 420), |root| {
        let mut chart = ChartBuilder::on(&root).margin(12).x_label_area_size(38).y_label_area_size(62).build_cartesian_2d(xs.0..xs.1, ys.0..ys.1)?;
        let label = |v: &f64| short(*v);
        chart.configure_mesh().x_desc(x).y_desc(y).x_label_formatter(&label).y_label_formatter(&label).light_line_style(WHITE.mix(0.0)).draw()?;
        let shade = COLOURS[0].mix(0.2);
        chart
            .draw_series([Polygon::new(outline.clone(), shade.filled())])?
            .label(&area.name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], shade.filled()));
        // What is measured first, and black.
        let colours = [BLACK, COLOURS[0], COLOURS[1], COLOURS[2]];
        for (line, colour) in all.iter().zip(colours.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(finite(&line.points), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let corner = SeriesLabelPosition::UpperRight;
        chart.configure_series_labels().position(corner).background_style(WHITE.mix(0.85)).border_style(BLACK.mix(0.2)).draw()?;
        Ok(())
    });
    if drawn { svg } else { String::new() }
}

/// One line over a logarithmic axis, with a mark at `mark`.
pub fn log_x(x: &str, y: &str, points: &[(f64, f64)], mark: Option<f64>) -> String {
    let Some((xs, ys)) = ranges(finite(points)) else { return String::new() };
    let mut svg = String::new();
    let drawn = draw(&mut svg, SIZE, |root| {
        let low = points.first().map_or(xs.0, |p| p.0).max(f64::MIN_POSITIVE);
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(62)
            .build_cartesian_2d((low..xs.1.max(low * 10.0)).log_scale(), ys.0..ys.1)?;
        chart
            .configure_mesh()
            .x_desc(x)
            .y_desc(y)
            .x_label_formatter(&|v| format!("{v:.0e}"))
            .y_label_formatter(&|v| short(*v))
            .light_line_style(WHITE.mix(0.0))
            .draw()?;
        chart.draw_series(LineSeries::new(finite(points), COLOURS[0].stroke_width(2)))?;
        if let Some(at) = mark {
            chart
                .draw_series(LineSeries::new([(at, ys.0), (at, ys.1)], COLOURS[1].stroke_width(1)))?
                .label(format!("suggestion {at:.1e}"))
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], COLOURS[1]));
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.2))
                .draw()?;
        }
        Ok(())
    });
    if drawn { svg } else { String::new() }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Whether drawing worked: a chart that does not is left out of the report, since a run is worth more than its picture.
fn draw(svg: &mut String, size: (u32, u32), with: impl FnOnce(Area<'_>) -> Result<(), Box<dyn std::error::Error>>) -> bool {
    let result = {
        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(Into::into).and_then(|()| with(root.clone())).and_then(|()| root.present().map_err(Into::into))
    };
    result.is_ok()
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}

type Ranges = ((f64, f64), (f64, f64));

fn ranges(points: impl Iterator<Item = (f64, f64)>) -> Option<Ranges> {
    let empty = (f64::INFINITY, f64::NEG_INFINITY);
    let (xs, ys) = points.fold((empty, empty), |(xs, ys), (x, y)| ((xs.0.min(x), xs.1.max(x)), (ys.0.min(y), ys.1.max(y))));
    let widen = |(low, high): (f64, f64), share: f64| {
        let space = if high > low { (high - low) * share } else { (low.abs() * 0.05).max(1e-9) };
        (low - space, high + space)
    };
    (xs.0 <= xs.1).then(|| (if xs.0 < xs.1 { xs } else { widen(xs, 0.0) }, widen(ys, 0.05)))
}

fn short(v: f64) -> String {
    match v.abs() {
        0.0 => "0".into(),
        a if a < 1e-3 => format!("{v:.1e}"),
        a if a < 0.1 => format!("{v:.4}").trim_end_matches('0').into(),
        a if a < 10.0 => format!("{v:.3}").trim_end_matches('0').trim_end_matches('.').into(),
        a if a < 10_000.0 => format!("{v:.0}"),
        _ => format!("{:.0}k", v / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_lines_and_survives_odd_data() {
        let line = |points: &[(f64, f64)]| Line { name: "loss".into(), points: points.to_vec() };
        let svg = lines("step", "loss", &[line(&[(0.0, 2.0), (10.0, 1.0)]), line(&[(0.0, f64::NAN)])]);
        assert!(svg.starts_with("<svg") && svg.contains("polyline") && svg.contains("step"));
        assert!(lines("x", "y", &[line(&[(3.0, 1.0)])]).contains("<svg"));
        assert_eq!(lines("x", "y", &[line(&[(0.0, f64::INFINITY)])]), "");
        let area = |points: &[(f64, f64, f64)]| Band { name: "90 % band".into(), points: points.to_vec() };
        let svg = band("days", "MW", &area(&[(0.0, 1.0, 3.0), (1.0, 2.0, 4.0)]), &[line(&[(0.0, 2.0), (1.0, 3.0)])]);
        assert!(svg.contains("polygon") && svg.contains("polyline") && svg.contains("90 % band"));
        assert_eq!(band("days", "MW", &area(&[]), &[]), "");
        assert!(log_x("lr", "loss", &[(1e-6, 2.0), (1e-3, 1.0), (1.0, 5.0)], Some(1e-3)).contains("suggestion"));
    }
}
