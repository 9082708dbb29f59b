//! The rules that train most networks leave a parameter where it is: their step allocates none of its size.
#![cfg(feature = "flex")]
#![recursion_limit = "256"]

use burn::backend::Flex;
use burn::tensor::{DType, Device, Tensor};
use fornax_optimizers::{Gradients, Optimizer, RuleConfig};
use fornax_testkit::{Pair, uniform};

/// Where the elements of a parameter are. What it reads is dropped again, so that nobody else holds them.
fn place<const D: usize>(tensor: Tensor<D>) -> usize {
    let primitive = tensor.inner().try_into_primitive::<Flex>().expect("a tensor of flex");
    primitive.as_slice::<f32>().expect("contiguous f32").as_ptr() as usize
}

/// Over four steps; with `held`, somebody else holds the model of the step before.
fn places(config: &RuleConfig, held: bool) -> Vec<[usize; 2]> {
    let mut optimizer = config.optimizer().expect("in range");
    let device = Device::flex().autodiff();
    let mut model = Pair::new(uniform([200, 300], 1, &device, DType::F32), uniform([30_000], 2, &device, DType::F32));
    let (mut seen, mut others) = (vec![], vec![]);
    for _ in 0..4 {
        let gradients = Gradients::of(&(model.matrix.val().square().sum() + model.vector.val().cos().sum()), &model);
        others.extend(held.then(|| model.clone()));
        model = optimizer.step(1e-3, model, &gradients);
        seen.push([place(model.matrix.val()), place(model.vector.val())]);
    }
    seen
}

#[test]
fn sgd_adam_and_adamw_move_parameters_in_place() {
    let named = |name: &str| RuleConfig::named(name).expect("it is in the list");
    for config in [named("sgd"), named("sgd").with("momentum", 0.9), named("adam"), named("adamw")] {
        let seen = places(&config, false);
        assert!(seen[1..].iter().all(|now| *now == seen[0]), "{}: {seen:?}", config.name);
        let seen = places(&config, true);
        assert!(seen[1..].iter().all(|now| *now != seen[0]), "{}: a copy would not be seen; {seen:?}", config.name);
    }
}
