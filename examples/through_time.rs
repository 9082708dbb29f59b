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
/// The spectral radius of U in both plain cells, at the start.
const GAIN: f64 = 1.6;
/// Of the LSTM, at the start: σ(3) ≈ 0.95.
const FORGET_BIAS: f32 = 3.0;

#[derive(Module, Debug)]
struct Model {
    embedding: Embedding,
    recurrent: Recurrent,
    head: Linear,
}

impl Model {
    fn new(cell: Cell, characters: usize, device: &Device) -> Self {
        let mut recurrent = RecurrentConfig::new(cell, WIDTH, WIDTH).init(device);
        let direction = &mut recurrent.directions[0];
        if cell == Cell::Lstm {
            let gates: Vec<f32> = (0..4 * WIDTH).map(|i| if i / WIDTH == 1 { FORGET_BIAS } else { 0.0 }).collect();
            direction.bias_hh = Some(Param::from_tensor(Tensor::from_floats(gates.as_slice(), device)));
        } else {
            let (deviation, key) = (GAIN / (WIDTH as f64).sqrt(), Key::new(3));
            let values: Vec<f32> = (0..(WIDTH * WIDTH) as u64).map(|i| (deviation * key.normal(i)) as f32).collect();
            direction.weight_hh = Param::from_tensor(Tensor::from_data(TensorData::new(values, [WIDTH, WIDTH]), device));
        }
        let embedding = EmbeddingConfig::new(characters, WIDTH).init(device);
        Self { embedding, recurrent, head: LinearConfig::new(WIDTH, characters).init(device) }
    }

    /// `(k, |∂L_T/∂x_{T−k}|)`: the loss at the last step by the input k steps before, in the mean over a batch.
    fn reach(&self, [tokens, targets]: [Tensor<2, Int>; 2]) -> anyhow::Result<Vec<(f64, f64)>> {
        let x = self.embedding.forward(tokens).detach().require_grad();
        let y = self.recurrent.forward(x.clone()).narrow(1, TIME - 1, 1).squeeze_dim::<2>(1);
        let loss = cross_entropy(self.head.forward(y), targets.narrow(1, TIME - 1, 1).squeeze_dim(1), 0.0) * BATCH as f64;
        let norms = x.grad(&loss.backward()).ok_or_else(|| anyhow::anyhow!("no gradient came back"))?;
        let norms: Vec<f64> = norms.square().sum_dim(2).sqrt().mean_dim(0).into_data().iter().collect();
        Ok(norms.into_iter().rev().enumerate().map(|(k, norm)| (k as f64, norm)).collect())
    }
}

type Curve = (&'static str, RGBColor, Vec<(f64, f64)>);

fn main() -> anyhow::Result<()> {
    let device = BackendName::Flex.device(None)?.autodiff();
    let text: Vec<char> = fornax_data::resolve(&fornax_data::TINY_SHAKESPEARE, None)?.load_text(Split::Train)?.chars().collect();
    let known: Vec<char> = std::collections::BTreeSet::from_iter(text.iter().copied()).into_iter().collect();
    let batch = |step: u64| {
        let starts = (0..BATCH as u64).map(|row| (Key::new(1).fold(step).uniform(row) * (text.len() - TIME - 1) as f64) as usize);
        let number = |at: usize| known.partition_point(|c| *c < text[at]) as i64;
        let part = |after: usize| starts.clone().flat_map(|start| start + after..start + after + TIME).map(number).collect::<Vec<_>>();
        [0, 1].map(|after| Tensor::<2, Int>::from_data(TensorData::new(part(after), [BATCH, TIME]), &device))
    };
    let (mut untrained, mut trained): (Vec<Curve>, Vec<Curve>) = (vec![], vec![]);
    for (name, color, cell) in [("ReLU", RED, Cell::Relu), ("tanh", BLUE, Cell::Tanh), ("LSTM", RGBColor(0, 130, 60), Cell::Lstm)] {
        set_step_key(Key::new(0));
        let mut model = Model::new(cell, known.len(), &device);
        let mut optimizer = PerTensor::new(Adam::default());
        untrained.push((name, color, model.reach(batch(STEPS))?));
        for step in 0..STEPS {
            let [tokens, targets] = batch(step);
            let y = model.recurrent.forward(model.embedding.forward(tokens)).flatten::<2>(0, 1);
            let loss = cross_entropy(model.head.forward(y), targets.flatten(0, 1), 0.0);
            let mut gradients = Gradients::of(&loss, &model);
            let norm = gradients.norm();
            gradients.clip(norm, 1.0);
            model = optimizer.step(3e-3, model, &gradients);
            if step == 0 || step + 1 == STEPS {
                println!("{name}: step {step:3}, loss {:7.3}, gradient norm {norm:9.3}", loss.into_scalar::<f32>());
            }
        }
        trained.push((name, color, model.reach(batch(STEPS))?));
    }
    for (when, curves) in [("untrained", &untrained), ("trained", &trained)] {
        for (name, _, curve) in curves {
            println!("{name} {when}: {:.1e} by the last input, {:.1e} by that {} steps before", curve[0].1, curve[TIME - 1].1, TIME - 1);
        }
    }
    let file = std::env::args().nth(1).unwrap_or_else(|| "through_time.svg".into());
    draw(&file, [("Before training", &untrained), ("After 150 steps", &trained)]).map_err(|error| anyhow::anyhow!("cannot draw {file}: {error}"))?;
    println!("drawn: {file}");
    Ok(())
}

fn draw(file: &str, panels: [(&str, &[Curve]); 2]) -> anyhow::Result<()> {
    let root = SVGBackend::new(file, (960, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    for ((title, curves), area) in panels.into_iter().zip(root.split_evenly((1, 2))) {
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(title, ("sans-serif", 20))
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..(TIME - 1) as f64, (1e-15..1e5).log_scale())?;
        chart.configure_mesh().disable_mesh().x_label_formatter(&|x| format!("{x:.0}")).x_desc("steps back, k").y_desc("size of ∂L at T / ∂x at T − k").y_label_formatter(&|y| format!("{y:.0e}")).draw()?;
        for (name, color, curve) in curves {
            let style = color.stroke_width(2);
            let line = chart.draw_series(LineSeries::new(curve.iter().copied(), style))?;
            line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::LowerLeft).background_style(WHITE).border_style(BLACK).label_font(("sans-serif", 15)).draw()?;
    }
    root.present()?;
    Ok(())
}
