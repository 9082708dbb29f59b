//! The gradients of a two-layer network by hand, compared with autodiff's.
//!
//! `cargo run --release -p fornax-examples --example backpropagation`
#![recursion_limit = "256"]
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::tensor::{Int, Tensor, activation::softmax};
use fornax_architectures::{ImageClassifier, MlpConfig};
use fornax_kernels::{device::BackendName, random::Key, random::set_step_key};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::Gradients;

const BATCH: usize = 16;
const CLASSES: usize = 4;

fn main() -> anyhow::Result<()> {
    let device = BackendName::Flex.device(None)?;
    let key = Key::new(7);
    set_step_key(key.fold(0));
    let model = MlpConfig { inputs: 20, hidden: vec![12], classes: CLASSES, dropout: 0.0 }.init(&device.clone().autodiff());
    let values: Vec<f32> = (0..(BATCH * 20) as u64).map(|i| (2.0 * key.fold(1).uniform(i) - 1.0) as f32).collect();
    let classes: Vec<i64> = (0..BATCH as u64).map(|i| (key.fold(2).bits(i) % CLASSES as u64) as i64).collect();
    let x: Tensor<2> = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([BATCH, 20]);
    let classes: Tensor<1, Int> = Tensor::from_ints(classes.as_slice(), &device);

    // By autodiff: the loss is built on the differentiable device, and `backward` walks it in reverse.
    let images = Tensor::from_inner(x.clone()).reshape([BATCH, 1, 4, 5]);
    let loss = cross_entropy(model.forward(images), Tensor::from_inner(classes.clone()), 0.0);
    let automatic = Gradients::of(&loss, &model);

    // By hand, on the device without autodiff. Forward:
    //   Z₁ = X W₁ + b₁,  H = max(Z₁, 0),  Z₂ = H W₂ + b₂,  P = softmax(Z₂),  L = −(1/B) Σᵢ ln P[i, yᵢ]
    let [layer1, layer2] = [&model.hidden[0].linear, &model.head];
    let bias = |layer: &burn::nn::Linear| layer.bias.as_ref().map(|b| b.val().inner().unsqueeze()).unwrap_or_else(|| Tensor::zeros([1, 1], &device));
    let (w1, w2) = (layer1.weight.val().inner(), layer2.weight.val().inner());
    let z1: Tensor<2> = x.clone().matmul(w1) + bias(layer1); // [B, 12]
    let h = z1.clone().clamp_min(0.0); // [B, 12]
    let z2: Tensor<2> = h.clone().matmul(w2.clone()) + bias(layer2); // [B, K]
    let p = softmax(z2, 1); // [B, K]

    // Backward, from the loss to the first layer; Y is the one-hot matrix of the classes.
    //   ∂L/∂Z₂ = (P − Y) / B          softmax and logarithm together: the exponentials cancel
    //   ∂L/∂W₂ = Hᵀ ∂L/∂Z₂,  ∂L/∂b₂ = Σᵢ (∂L/∂Z₂)[i, :]
    //   ∂L/∂H  = ∂L/∂Z₂ W₂ᵀ
    //   ∂L/∂Z₁ = ∂L/∂H ⊙ [Z₁ > 0]     ReLU lets through what was positive
    //   ∂L/∂W₁ = Xᵀ ∂L/∂Z₁,  ∂L/∂b₁ = Σᵢ (∂L/∂Z₁)[i, :]
    let y: Tensor<2> = classes.one_hot::<2>(CLASSES).float();
    let dz2 = (p - y) / BATCH as f64; // [B, K]
    let dw2 = h.transpose().matmul(dz2.clone()); // [12, K]
    let dh = dz2.clone().matmul(w2.transpose()); // [B, 12]
    let dz1 = dh * z1.greater_elem(0.0).float(); // [B, 12]
    let dw1 = x.transpose().matmul(dz1.clone()); // [20, 12]

    let mut largest = 0f32;
    for (name, layer, dw, dz) in [("layer 1", layer1, dw1, dz1), ("layer 2", layer2, dw2, dz2)] {
        let ids = [Some(layer.weight.id), layer.bias.as_ref().map(|b| b.id)];
        for (what, id, by_hand) in [("W", ids[0], dw), ("b", ids[1], dz.sum_dim(0))] {
            let n = by_hand.shape().num_elements();
            let by_hand: Tensor<1> = by_hand.reshape([n]);
            let automatic = id.and_then(|id| automatic.get(id)).ok_or_else(|| anyhow::anyhow!("{name} has no gradient for {what}"))?;
            let size: f32 = by_hand.clone().abs().max().into_scalar();
            let difference: f32 = (by_hand - automatic.clone()).abs().max().into_scalar();
            println!("{name}, ∂L/∂{what}: {n:3} numbers, largest {size:.4}, largest difference {difference:.1e}");
            largest = largest.max(difference);
            anyhow::ensure!(size > 1e-3, "{name}: a gradient of zeros proves nothing");
        }
    }
    println!("loss {:.4}; by hand and autodiff differ by at most {largest:.1e}", loss.into_scalar::<f32>());
    assert!(largest < 1e-6, "the two gradients differ by {largest}");
    Ok(())
}
