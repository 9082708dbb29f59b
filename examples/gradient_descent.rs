//! Gradient descent, momentum and Adam walk down the same valley, `f(x, y) = ½ (x² + 25 y²)`; draws their paths.
//!
//! `cargo run --release -p fornax-examples --example gradient_descent [PICTURE.svg]`
#![recursion_limit = "256"]
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_kernels::device::BackendName;
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor, Sgd};
use plotters::prelude::*;

/// Curvatures along x and y. Plain gradient descent needs η < 2 / 25, and with it needs long to move along x.
const CURVATURE: [f32; 2] = [1.0, 25.0];
const START: [f32; 2] = [-9.0, 2.0];
const STEPS: usize = 60;

/// A rule's name, the colour of its path, and the path.
type Walk = (&'static str, RGBColor, Vec<(f64, f64)>);

#[derive(Module, Debug)]
struct Point {
    at: Param<Tensor<1>>,
}

impl Point {
    /// `½ Σ cᵢ xᵢ²`
    fn loss(&self, device: &Device) -> Tensor<1> {
        (self.at.val().square() * Tensor::from_floats(CURVATURE, device)).sum() * 0.5
    }
}

/// Where the rule goes from [`START`], step by step.
fn walk(mut optimizer: PerTensor, lr: f64, device: &Device) -> Vec<(f64, f64)> {
    let mut point = Point { at: Param::from_tensor(Tensor::from_floats(START, device)) };
    let mut path = vec![];
    for step in 0..=STEPS {
        let at: Vec<f64> = point.at.val().into_data().iter().collect();
        path.push((at[0], at[1]));
        if step < STEPS {
            let gradients = Gradients::of(&point.loss(device), &point);
            point = optimizer.step(lr, point, &gradients);
        }
    }
    path
}

fn main() -> anyhow::Result<()> {
    let device = BackendName::Flex.device(None)?.autodiff();
    let momentum = Sgd { momentum: 0.6, ..Sgd::default() };
    let paths = [
        ("gradient descent, η = 0.07", RED, walk(PerTensor::new(Sgd::default()), 0.07, &device)),
        ("momentum 0.6, η = 0.05", BLUE, walk(PerTensor::new(momentum), 0.05, &device)),
        ("Adam, η = 0.5", RGBColor(0, 130, 60), walk(PerTensor::new(Adam::default()), 0.5, &device)),
    ];
    for (name, _, path) in &paths {
        let (x, y) = path[STEPS];
        let loss = 0.5 * (f64::from(CURVATURE[0]) * x * x + f64::from(CURVATURE[1]) * y * y);
        println!("{name:<26}  after {STEPS} steps: x = {x:8.5}, y = {y:8.5}, f = {loss:.2e}");
    }
    // On a quadratic the plain rule has a closed form: each coordinate shrinks by 1 − η c a step.
    let want = f64::from(START[0]) * (1.0 - 0.07f64).powi(STEPS as i32);
    assert!((paths[0].2[STEPS].0 - want).abs() < 1e-4, "gradient descent left its closed form");

    let file = std::env::args().nth(1).unwrap_or_else(|| "gradient_descent.svg".into());
    draw(&file, &paths).map_err(|error| anyhow::anyhow!("cannot draw {file}: {error}"))?;
    println!("drawn: {file}");
    Ok(())
}

/// Contours of the valley, and the paths over them.
fn draw(file: &str, paths: &[Walk]) -> anyhow::Result<()> {
    let root = SVGBackend::new(file, (960, 540)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption("Sixty steps down f(x, y) = ½ (x² + 25 y²)", ("sans-serif", 22))
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(-10.0..5.0, -3.0..3.0)?;
    chart.configure_mesh().disable_mesh().x_desc("x").y_desc("y").draw()?;
    for level in [0.5, 2.0, 6.0, 14.0, 28.0, 50.0, 80.0, 120.0] {
        let (a, b) = ((2.0 * level / f64::from(CURVATURE[0])).sqrt(), (2.0 * level / f64::from(CURVATURE[1])).sqrt());
        let ring = (0..=180).map(|i| f64::from(i).to_radians() * 2.0).map(|t| (a * t.cos(), b * t.sin()));
        chart.draw_series(LineSeries::new(ring, RGBColor(185, 185, 195)))?;
    }
    for (name, color, path) in paths {
        let style = color.stroke_width(2);
        let line = chart.draw_series(LineSeries::new(path.iter().copied(), style))?;
        line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        chart.draw_series(path.iter().map(|&at| Circle::new(at, 3, color.filled())))?;
    }
    chart.draw_series([Circle::new((0.0, 0.0), 6, BLACK.stroke_width(2))])?;
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::LowerRight).background_style(WHITE).border_style(BLACK);
    legend.label_font(("sans-serif", 15)).draw()?;
    root.present()?;
    Ok(())
}
