//! Every architecture keeps the contract of classifiers.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor};
use fornax_architectures::{ConvNetConfig, ImageClassifier, LeNet5Config, MlpConfig, ResNetConfig, Stage, Stem};
use fornax_kernels::random::{Key, set_step_key};
use fornax_testkit::{Classifier, check_classifier, device, devices};
use fornax_weights::{count_trainable, load_state, state};

const DIGITS: Classifier = Classifier { input: [8, 1, 28, 28], classes: 10, parameters: 0, steps: 60, lr: 3e-3 };

#[test]
fn the_tutorials_network() {
    // 1·32·9 + 32; 32·64·9 + 64; 6·6·64·128 + 128; 128·10 + 10
    let parameters = 320 + 18_496 + 295_040 + 1_290;
    check_classifier(Classifier { parameters, ..DIGITS }, |d| ConvNetConfig::tutorial().init(d), |m, x| m.forward(x));
}

#[test]
fn lenet5() {
    // 1·6·25 + 6; 6·16·25 + 16; 400·120 + 120; 120·84 + 84; 84·10 + 10
    let parameters = 156 + 2_416 + 48_120 + 10_164 + 850;
    check_classifier(Classifier { parameters, ..DIGITS }, |d| LeNet5Config::mnist().init(d), |m, x| m.forward(x));
}

#[test]
fn mlp() {
    check_classifier(Classifier { parameters: 784 * 300 + 300 + 3_010, ..DIGITS }, |d| MlpConfig::mnist().init(d), |m, x| m.forward(x));
    let deep = MlpConfig { inputs: 12, hidden: vec![16, 16], classes: 3, dropout: 0.0 };
    let expected = Classifier { input: [6, 3, 2, 2], classes: 3, parameters: 13 * 16 + 17 * 16 + 17 * 3, steps: 300, lr: 1e-2 };
    check_classifier(expected, |d| deep.init(d), |m, x| m.forward(x));
}

#[test]
fn resnet_and_the_published_numbers_of_parameters() {
    let parameters = |config: ResNetConfig| count_trainable(&config.init(&device()));
    assert_eq!(parameters(ResNetConfig::resnet18()), 11_689_512);
    assert_eq!(parameters(ResNetConfig::resnet34()), 21_797_672);
    assert_eq!(parameters(ResNetConfig::cifar_resnet18()), 11_173_962);
    let small = ResNetConfig { image: [2, 8, 8], stem: Stem::Small, blocks: vec![1, 1], width: 4, classes: 3 };
    // Convolutions without bias, two numbers a channel in each norm: stem, first block, second block with its shortcut, head.
    let count = (2 * 4 * 9 + 8) + 2 * (4 * 4 * 9 + 8) + (4 * 8 * 9 + 8 * 8 * 9 + 4 * 8 + 3 * 16) + (8 * 3 + 3);
    let expected = Classifier { input: [6, 2, 8, 8], classes: 3, parameters: count, steps: 200, lr: 1e-2 };
    check_classifier(expected, |d| small.init(d), |m, x| m.forward(x));
}

#[test]
fn a_network_with_batch_norm_dropout_strides_and_no_dense_layer() {
    let config = ConvNetConfig {
        image: [2, 11, 9],
        stages: vec![
            Stage { channels: 6, kernel: 3, stride: 2, padding: 1, pool: 1 },
            Stage { channels: 8, kernel: 3, stride: 1, padding: 0, pool: 2 },
        ],
        dense: vec![],
        classes: 4,
        batch_norm: true,
        dropout: 0.1,
        tanh: false,
    };
    // 11×9 → 6×5 → 4×3 → 2×1; batch norm has 2 trainable numbers a channel, and replaces the bias.
    assert_eq!(config.features(), Ok(16));
    let parameters = 2 * 6 * 9 + 12 + 6 * 8 * 9 + 16 + 16 * 4 + 4;
    // Dropout stays on in `check_classifier`, so that its gradients are checked too; the loss that counts is without it.
    let without = ConvNetConfig { dropout: 0.0, ..config.clone() };
    let expected = Classifier { input: [8, 2, 11, 9], classes: 4, parameters, steps: 150, lr: 1e-2 };
    check_classifier(expected, |d| without.init(d), |m, x| m.forward(x));
    let plain = device();
    let model = config.init(&plain.clone().autodiff());
    fornax_testkit::check_module_gradients(&model, 3, |m| {
        set_step_key(Key::new(5));
        m.forward(fornax_testkit::uniform([3, 2, 11, 9], 1, &plain.clone().autodiff(), DType::F64)).square().sum()
    });
}

#[test]
fn a_seed_gives_the_same_model_on_every_backend_and_its_state_a_twin() {
    fn check<M: ImageClassifier>(build: impl Fn(&Device) -> M) {
        let built = |seed: u64, device: &Device| {
            set_step_key(Key::new(seed));
            build(device)
        };
        let first = state(&built(1, &device()));
        for device in devices() {
            let model = built(1, &device);
            assert_eq!(state(&model), first);
            assert_ne!(state(&built(2, &device)), first);
            let twin = load_state(built(2, &device), &first, "").expect("the same architecture");
            let x = fornax_testkit::uniform([2, 1, 28, 28], 3, &device, DType::F32);
            assert_eq!(twin.forward(x.clone()).to_data(), model.forward(x).to_data());
            assert_eq!(count_trainable(&model), count_trainable(&built(1, &device.clone().autodiff())), "with and without autodiff");
        }
    }
    check(|d| ConvNetConfig { batch_norm: true, stages: vec![Stage::valid3(4, 2), Stage::valid3(8, 2)], ..ConvNetConfig::tutorial() }.init(d));
    check(|d| LeNet5Config::mnist().init(d));
    check(|d| MlpConfig::mnist().init(d));
}

#[test]
fn another_image_size_and_rgb() {
    let device = device();
    let config = ConvNetConfig { image: [3, 32, 40], classes: 7, ..ConvNetConfig::tutorial() };
    assert_eq!(config.features(), Ok(64 * 7 * 9));
    assert_eq!(config.init(&device).forward(Tensor::zeros([2, 3, 32, 40], &device)).dims(), [2, 7]);
}
