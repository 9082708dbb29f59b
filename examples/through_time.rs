//! How far a gradient reaches back through time, in plain cells with ReLU and tanh and in an LSTM that train on Shakespeare; draws its size by distance.
//!
//! `cargo run --release -p fornax-examples --example through_time [PICTURE.svg]`
#![recursion_limit = "256"]
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_data::Split;
use fornax_kernels::{device::BackendName, random::Key, random::set_step_key};
use fornax_layers::{Cell, Embedding, EmbeddingConfig, Linear, LinearConfig, Recurrent, RecurrentConfig, loss::cross_entropy};
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use plotters::prelude::*;

const BATCH: usize = 32;
const TIME: usize = 80;
const WIDTH: usize = 128;
const STEPS: u64 = 150;
const GAIN: f64 = 1.6; // the spectral radius of U in both plain cells, at the start
const FORGET_BIAS: f32 = 3.0; // of the LSTM, at the start: σ(3) ≈ 0.95

#[derive(Module, Debug)]
struct Model {
    embedding: Embedding,
    recurrent: Recurrent,
    head: Linear,
}

impl Model {
    fn new(cell: Cell, device: &Device) -> Self {
        let mut recurrent = RecurrentConfig::new(cell, WIDTH, WIDTH).init(device);
        if cell == Cell::Lstm {
            let gates: Vec<f32> = (0..4 * WIDTH).map(|i| if i / WIDTH == 1 { FORGET_BIAS } else { 0.0 }).collect();
            recurrent.directions[0].bias_hh = Some(Param::from_tensor(Tensor::from_floats(gates.as_slice(), device)));
        } else {
            let values: Vec<f32> = (0..(WIDTH * WIDTH) as u64).map(|i| (GAIN / (WIDTH as f64).sqrt() * Key::new(3).normal(i)) as f32).collect();
            recurrent.directions[0].weight_hh = Param::from_tensor(Tensor::from_data(TensorData::new(values, [WIDTH, WIDTH]), device));
        }
        let (embedding, head) = (EmbeddingConfig::new(128, WIDTH).init(device), LinearConfig::new(WIDTH, 128).init(device));
        Self { embedding, recurrent, head }
    }

    /// `(k, |∂L_T/∂x_{T−k}|)`: the loss at the last step by the input k steps before, in the mean over a batch.
    fn reach(&self, [tokens, targets]: [Tensor<2, Int>; 2]) -> Vec<(u32, f64)> {
        let x = self.embedding.forward(tokens).detach().require_grad();
        let y = self.recurrent.forward(x.clone()).narrow(1, TIME - 1, 1).squeeze_dim::<2>(1);
        let loss = cross_entropy(self.head.forward(y), targets.narrow(1, TIME - 1, 1).squeeze_dim(1), 0.0) * BATCH as f64;
        let norms = x.grad(&loss.backward()).expect("a leaf has one").square().sum_dim(2).sqrt().mean_dim(0);
        norms.into_data().iter::<f64>().collect::<Vec<_>>().into_iter().rev().zip(0..).map(|(norm, k)| (k, norm)).collect()
    }
}

fn main() -> anyhow::Result<()> {
    let device = BackendName::Flex.device(None)?.autodiff();
    let text = fornax_data::resolve(&fornax_data::TINY_SHAKESPEARE, None)?.load_text(Split::Train)?.into_bytes();
    let batch = |step: u64| {
        let starts = (0..BATCH as u64).map(|row| (Key::new(1).fold(step).uniform(row) * (text.len() - TIME - 1) as f64) as usize);
        let part = |after: usize| starts.clone().flat_map(|at| &text[at + after..at + after + TIME]).map(|byte| i64::from(*byte)).collect::<Vec<_>>();
        [0, 1].map(|after| Tensor::<2, Int>::from_data(TensorData::new(part(after), [BATCH, TIME]), &device))
    };
    let mut all = vec![];
    for (name, color, cell) in [("ReLU", RED, Cell::Relu), ("tanh", BLUE, Cell::Tanh), ("LSTM", RGBColor(0, 130, 60), Cell::Lstm)] {
        set_step_key(Key::new(0));
        let (mut model, mut optimizer) = (Model::new(cell, &device), PerTensor::new(Adam::default()));
        let untrained = model.reach(batch(STEPS));
        for step in 0..STEPS {
            let [tokens, targets] = batch(step);
            let y = model.recurrent.forward(model.embedding.forward(tokens)).flatten::<2>(0, 1);
            let loss = cross_entropy(model.head.forward(y), targets.flatten(0, 1), 0.0);
            let mut gradients = Gradients::of(&loss, &model);
            gradients.clip(gradients.norm(), 1.0);
            model = optimizer.step(3e-3, model, &gradients);
        }
        let curves = [untrained, model.reach(batch(STEPS))];
        for (when, curve) in ["before training", "after 150 steps"].iter().zip(&curves) {
            println!("{name} {when}: {:.1e} by the last input, {:.1e} by that {} steps before", curve[0].1, curve[TIME - 1].1, TIME - 1);
        }
        all.push((name, color, curves));
    }
    draw(&std::env::args().nth(1).unwrap_or_else(|| "through_time.svg".into()), &all)
}

fn draw(file: &str, all: &[(&'static str, RGBColor, [Vec<(u32, f64)>; 2])]) -> anyhow::Result<()> {
    let root = SVGBackend::new(file, (960, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    for (i, area) in root.split_evenly((1, 2)).iter().enumerate() {
        let mut builder = ChartBuilder::on(area);
        builder.margin(12).caption(["Before training", "After 150 steps"][i], ("sans-serif", 20)).x_label_area_size(40).y_label_area_size(64);
        let mut chart = builder.build_cartesian_2d(0..TIME as u32 - 1, (1e-19..1e4).log_scale())?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh().x_desc("steps back, k").y_desc("|∂L at T / ∂x at T − k|").y_label_formatter(&|y| format!("{y:.0e}")).draw()?;
        for (name, color, curves) in all {
            let line = chart.draw_series(LineSeries::new(curves[i].iter().copied(), color.stroke_width(2)))?;
            line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color));
        }
        chart.configure_series_labels().position(SeriesLabelPosition::LowerLeft).background_style(WHITE).border_style(BLACK).draw()?;
    }
    Ok(root.present()?)
}
