use crate::{check_module_gradients, device, uniform};
use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, activation::log_softmax};
use fornax_kernels::random::{Key, set_step_key};
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use fornax_weights::count_trainable;

/// What a classifier of images must be.
#[derive(Debug, Clone, Copy)]
pub struct Classifier {
    /// `[B, C, H, W]`
    pub input: [usize; 4],
    /// `K`
    pub classes: usize,
    /// Trainable numbers.
    pub parameters: usize,
    /// Steps of Adam in which it must learn one batch by heart.
    pub steps: usize,
    /// Their learning rate.
    pub lr: f64,
}

/// What every classifier keeps: its number of trainable parameters, its output shape, gradients equal to finite differences in f64, and
/// that it can learn one batch of random images by heart: loss below 0.01, and every class right.
///
/// # Panics
/// If something does not hold.
pub fn check_classifier<M: Module>(expected: Classifier, build: impl Fn(&Device) -> M, forward: impl Fn(&M, Tensor<4>) -> Tensor<2>) {
    let Classifier { input, classes, parameters, steps, lr } = expected;
    let device = device().autodiff();
    set_step_key(Key::new(1));
    let mut model = build(&device);
    assert_eq!(count_trainable(&model), parameters, "trainable parameters");

    let images = uniform(input, 2, &device, DType::F32);
    assert_eq!(forward(&model, images.clone()).dims(), [input[0], classes], "shape of the logits");

    let targets: Vec<i64> = (0..input[0] as i64).map(|i| i * 7 % classes as i64).collect();
    let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &device);
    let loss = |model: &M, images: Tensor<4>| {
        let log_p = log_softmax(forward(model, images), 1);
        log_p.gather(1, targets.clone().reshape([input[0], 1])).mean().neg()
    };
    check_module_gradients(&model, 2, |model| {
        set_step_key(Key::new(3));
        loss(model, uniform(input, 2, &device, DType::F64))
    });

    let mut optimizer = PerTensor::new(Adam::default());
    for step in 0..steps {
        set_step_key(Key::new(3).fold(step as u64));
        let gradients = Gradients::of(&loss(&model, images.clone()), &model);
        assert_eq!(gradients.len(), crate::parameters(&model).len(), "parameters with a gradient");
        model = optimizer.step(lr, model, &gradients);
    }
    let last = loss(&model, images.clone()).into_scalar::<f32>();
    assert!(last < 0.01, "after {steps} steps on one batch the loss is still {last}");
    let found = forward(&model, images).argmax(1).reshape([input[0]]);
    assert_eq!(found.to_data().iter::<i64>().collect::<Vec<_>>(), targets.to_data().iter::<i64>().collect::<Vec<_>>());
}
