//! The forecaster: PyTorch's values (`reference/forecaster.py`), its loss, sizes, quantiles that do not cross, the `Tap` seam.
#![recursion_limit = "256"]

mod by_formula;

use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_architectures::{Forecaster, ForecasterConfig};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Cell, Site, Tap, loss::pinball};
use fornax_testkit::{Values, assert_close, assert_exact, check_gradients, device, devices, reference};
use fornax_weights::count_trainable;

fn config(cell: Cell, layers: usize) -> ForecasterConfig {
    ForecasterConfig { cell, layers, width: 3, ..ForecasterConfig::new(5, 2, [7, 4], 6) }
}

fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (device, dtype))
}

#[test]
fn values_are_pytorchs() {
    for (name, cell, layers) in [("lstm, 1 layers", Cell::Lstm, 1), ("gru, 2 layers", Cell::Gru, 2)] {
        by_formula::check(
            "forecaster",
            name,
            |device| config(cell, layers).init(device),
            |model: &Forecaster, case, device, dtype| {
                let past = tensor(case.values("past"), [3, 7, 5], device, dtype);
                let future = tensor(case.values("future"), [3, 4, 2], device, dtype);
                model.forward(past, future).flatten(0, 1)
            },
        );
        assert_eq!(config(cell, layers).parameters(), count_trainable(&config(cell, layers).init(&device())));
    }
}

#[test]
fn the_pinball_loss_and_its_gradient_are_those_of_the_definition() {
    let case = reference("tests/reference/forecaster.json").list("cases").into_iter().find(|case| case.text("name") == "pinball").unwrap();
    let levels = case.values("levels");
    for device in devices() {
        let device = device.autodiff();
        let forecasts = tensor(case.values("forecasts"), [2, 3, 3], &device, DType::F64).require_grad();
        let targets = tensor(case.values("targets"), [2, 3], &device, DType::F64);
        let loss = pinball(forecasts.clone(), targets.clone(), &levels);
        assert_exact("pinball", &loss, [case.number("loss")], DType::F64);
        let gradient = forecasts.grad(&loss.backward()).unwrap();
        assert_exact("its gradient", &gradient, case.values("gradient"), DType::F64);
    }
    let forecasts = Tensor::<3>::from_data([[[0.1, 0.7], [-0.9, 0.2]]], &device());
    check_gradients(&device(), &forecasts, |x| {
        let targets = Tensor::<2>::from_data([[0.3, -0.2]], (&x.device(), DType::F64));
        pinball(x, targets, &[0.1, 0.9])
    });
}

#[derive(Default)]
struct Seen(Vec<(String, Vec<usize>)>);

impl Tap for Seen {
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        self.0.push((site.0.into(), x.dims().to_vec()));
        x
    }
}

#[test]
fn quantiles_do_not_cross_and_activations_are_shown() {
    let device = device();
    for seed in 0..20 {
        set_step_key(Key::new(seed));
        let model = ForecasterConfig { quantiles: vec![0.05, 0.25, 0.5, 0.75, 0.95], ..config(Cell::Lstm, 1) }.init(&device);
        let random = |shape: [usize; 3], k: u64| {
            let values = (0..shape.iter().product::<usize>() as u64).map(|i| 3.0 * Key::new(seed).fold(k).normal(i)).collect();
            tensor(values, shape, &device, DType::F32)
        };
        let (past, future) = (random([2, 7, 5], 0), random([2, 4, 2], 1));
        let mut seen = Seen::default();
        let quantiles = model.forward_with(past.clone(), future.clone(), &mut seen);
        assert_eq!(seen.0, [("encoded".into(), vec![2, 7, 6]), ("context".into(), vec![2, 4, 3])]);
        assert!(quantiles.values().chunks(5).all(|row| row.windows(2).all(|pair| pair[0] < pair[1])));
        assert_close(model.forward(past, future), quantiles.values(), 0.0, 0.0);
    }
}
