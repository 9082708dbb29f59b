use crate::{assert_close, bits, check_gradients, check_module_gradients, devices, to_dtype, uniform};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use fornax_kernels::random::{Key, set_step_key};
use fornax_weights::{load_state, state};

/// What every layer keeps: its output shape; the same weights and, within rounding, the same output on every backend; gradients equal to
/// finite differences in f64; and its state, which makes an exact twin of another layer.
///
/// # Panics
/// If something does not hold.
pub fn check_layer<M: Module, const I: usize, const O: usize>(
    build: impl Fn(&Device) -> M,
    input: [usize; I],
    output: [usize; O],
    forward: impl Fn(&M, Tensor<I>) -> Tensor<O>,
) {
    let mut first: Option<(fornax_weights::Tensors, Tensor<O>)> = None;
    for device in devices() {
        let plain = built(&build, 1, &device);
        let x = uniform(input, 2, &device, DType::F32);
        let y = forward(&plain, x.clone());
        assert_eq!(y.dims(), output, "output shape on {device:?}");
        let weights = state(&plain);
        match &first {
            None => first = Some((weights.clone(), y.clone())),
            Some((first_weights, first_y)) => {
                assert_eq!(&weights, first_weights, "the first weights depend on the backend");
                assert_close(&y, first_y, 1e-4, 1e-5);
            }
        }

        let twin = load_state(built(&build, 9, &device), &weights, "").unwrap_or_else(|error| panic!("{error}"));
        assert!(bits(&forward(&twin, x)) == bits(&y), "a layer with the same state gives another output");

        let training = device.clone().autodiff();
        let layer = to_dtype(built(&build, 1, &training), DType::F64);
        let direction = uniform(output, 3, &training, DType::F64);
        let x = uniform(input, 2, &training, DType::F64);
        let loss = |layer: &M, x: Tensor<I>| {
            set_step_key(Key::new(4));
            (forward(layer, x) * direction.clone()).sum()
        };
        check_gradients(&device, &x, |x| loss(&layer, x));
        if fornax_weights::count_trainable(&layer) > 0 {
            check_module_gradients(&layer, 8, |layer| loss(layer, x.clone()));
        }
    }
}

fn built<M>(build: impl Fn(&Device) -> M, seed: u64, device: &Device) -> M {
    set_step_key(Key::new(seed));
    build(device)
}
