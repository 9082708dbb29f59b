//! Methods that lead back by rules: Captum's values and equations (`reference/explain_rules.py`), and what they keep in any network.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use fornax_architectures::{ConvNet, ConvNetConfig, ImageClassifier, LeNet5Config, Mlp, MlpConfig, ResNet, ResNetConfig, Stage, Stem, VitConfig};
use fornax_explain::{
    LrpRule, deconvolution, deep_lift, epsilon_plus, grad_cam, grad_cam_plus_plus, guided_backprop, guided_grad_cam, input_x_gradient, lrp, saliency,
};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{
    Activation, LinearConfig,
    dissect::{What, dissect, junction},
};
use fornax_testkit::{Reference, Values, assert_close, assert_near, device, devices, reference, to_dtype, uniform, with_parameters};

fn mlp() -> MlpConfig {
    MlpConfig { inputs: 36, hidden: vec![8, 7], classes: 4, dropout: 0.0 }
}

fn cnn() -> ConvNetConfig {
    let stages = vec![Stage::valid3(3, 1), Stage { padding: 1, ..Stage::valid3(4, 2) }];
    ConvNetConfig { image: [1, 6, 6], stages, dense: vec![5], classes: 4, batch_norm: false, dropout: 0.0, tanh: false }
}

/// The generator's weights: parameter `k` is three times a wave of phase `3 k + 10`.
fn waves<M: Module>(model: M, biased: bool, dtype: DType) -> M {
    let mut k = 0.0;
    let model = with_parameters(to_dtype(model, dtype), |name, values| {
        let size = if name.ends_with("bias") && !biased { 0.0 } else { 3.0 };
        values.iter_mut().enumerate().for_each(|(i, x)| *x = size * f64::from((0.1 * (0.37 * i as f64 + 3.0 * k + 10.0).sin()) as f32));
        k += 1.0;
    });
    model.freeze()
}

#[test]
fn rules_give_captums_attributions() {
    for case in reference("tests/reference/explain_rules.json").list("cases") {
        for device in devices() {
            for dtype in [DType::F32, DType::F64] {
                let device = device.clone().autodiff();
                match case.text("name").as_str() {
                    "mlp" => check(&case, &waves::<Mlp>(mlp().init(&device), case.flag("bias"), dtype), &device, dtype),
                    _ => {
                        let model = waves::<ConvNet>(cnn().init(&device), case.flag("bias"), dtype);
                        check(&case, &model, &device, dtype);
                        if case.flag("bias") {
                            check_maps(&case, &model, &device, dtype);
                        }
                    }
                }
            }
        }
    }
}

fn check<M: ImageClassifier>(case: &Reference, model: &M, device: &Device, dtype: DType) {
    let (name, want, classes) = (case.text("name"), case.get("results"), case.counts("classes"));
    let forward = |x: Tensor<4>| model.forward(x);
    let x: Tensor<4> = case.tensor("x", device, dtype);
    let is = |method: &str, got: Tensor<4>| assert_near(&format!("{method} of {name}"), got, want.values(method), dtype);
    let handed_back = |rule: LrpRule| lrp(x.clone(), &classes, |_, _| rule, forward).expect("every layer is covered");
    if case.flag("bias") {
        let baseline: Tensor<4> = case.tensor("baseline", device, dtype);
        is("guided_backprop", guided_backprop(x.clone(), &classes, forward).unwrap());
        is("deconvolution", deconvolution(x.clone(), &classes, forward).unwrap());
        is("deep_lift", deep_lift(x.clone(), baseline, &classes, forward).unwrap().attributions);
        is("lrp_epsilon", handed_back(LrpRule::Epsilon(1e-2)));
        is("lrp_alpha_beta", handed_back(LrpRule::AlphaBeta { alpha: 2.0, beta: 1.0 }));
    } else {
        is("lrp_gamma", handed_back(LrpRule::Gamma(0.25)));
        is("lrp_z_plus", handed_back(LrpRule::Z_PLUS));
        is("lrp_epsilon_plus", lrp(x.clone(), &classes, epsilon_plus, forward).unwrap());
    }
}

fn check_maps(case: &Reference, model: &ConvNet, device: &Device, dtype: DType) {
    let (want, classes, site) = (case.get("results"), case.counts("classes"), ConvNet::LAST);
    let x: Tensor<4> = case.tensor("x", device, dtype);
    let map = grad_cam_plus_plus(site, &classes, |tap| model.forward_with(x.clone(), tap)).unwrap();
    assert_near("grad_cam_plus_plus", map, want.values("grad_cam_plus_plus"), dtype);
    // Captum's is not divided by its maximum.
    let map = grad_cam(site, &classes, |tap| model.forward_with(x.clone(), tap)).unwrap().values();
    let scaled =
        want.values("grad_cam").chunks(16).flat_map(|map| map.iter().map(move |v| v / map.iter().fold(0f64, |m, v| m.max(*v)))).collect::<Vec<_>>();
    assert_near("grad_cam", map, scaled, dtype);
    let guided = guided_grad_cam(site, x, &classes, |x, tap| model.forward_with(x, tap)).unwrap().unwrap();
    assert_near("guided_grad_cam", guided, want.values("guided_grad_cam"), dtype);
}

/// A model with numbers that are nothing special, also in batch norm's statistics.
fn any<M: Module>(seed: u64, model: M) -> M {
    let mut part = 0;
    let model = with_parameters(to_dtype(model, DType::F64), |name, values| {
        let key = Key::new(seed).fold(part);
        let width = (values.len() as f64).sqrt().min(8.0);
        values.iter_mut().enumerate().for_each(|(i, x)| *x = key.normal(i as u64) / width);
        if name.ends_with("running_var") {
            values.iter_mut().for_each(|x| *x = 0.5 + x.abs());
        }
        part += 1;
    });
    model.freeze()
}

fn resnet(stem: Stem) -> ResNetConfig {
    ResNetConfig { image: [1, 16, 16], stem, blocks: vec![1, 1], width: 4, classes: 5 }
}

/// A dissected pass gives the same logits; differences add up to theirs; the dissected gradient is the gradient where a rule is one.
fn keeps<M: ImageClassifier>(model: &M, [channels, height, width]: [usize; 3], device: &Device) {
    let x: Tensor<4> = uniform([2, channels, height, width], 1, device, DType::F64);
    let forward = |x: Tensor<4>| model.forward(x);
    let whole = dissect(|| forward(x.clone()));
    assert!(whole.uncovered.is_empty() && whole.pieces.len() > 3, "{:?}", whole.uncovered);
    assert_close(&whole.result, forward(x.clone()), 1e-9, 1e-12);
    let lifted = deep_lift(x.clone(), uniform([1, channels, height, width], 2, device, DType::F64), &[1, 2], forward).unwrap();
    assert!(lifted.gap.iter().all(|gap| gap.abs() < 1e-9), "{:?}", lifted.gap);
    assert!(lifted.attributions.values().iter().any(|a| a.abs() > 1e-6));
}

#[test]
fn differences_add_up_in_every_architecture_that_is_covered() {
    let device = device().autodiff();
    for seed in 0..3 {
        keeps(&any::<Mlp>(seed, mlp().init(&device)), [1, 6, 6], &device);
        for (batch_norm, tanh) in [(false, false), (true, false), (false, true)] {
            keeps(&any::<ConvNet>(seed, ConvNetConfig { batch_norm, tanh, ..cnn() }.init(&device)), [1, 6, 6], &device);
        }
        keeps(&any(seed, LeNet5Config::mnist().init(&device)), [1, 28, 28], &device);
        for stem in [Stem::Small, Stem::Large] {
            keeps(&any::<ResNet>(seed, resnet(stem).init(&device)), [1, 16, 16], &device);
        }
    }
}

#[test]
fn without_biases_relevance_adds_up_to_the_logit() {
    let device = device().autodiff();
    let check = |classes: &[usize], x: Tensor<4>, forward: &dyn Fn(Tensor<4>) -> Tensor<2>| {
        let relevance = lrp(x.clone(), classes, |_, _| LrpRule::Epsilon(1e-12), forward).unwrap();
        // It is input times gradient, if all is ReLU (Ancona et al., 2018).
        assert_close(&relevance, input_x_gradient(x.clone(), classes, forward), 1e-6, 1e-9);
        let (logits, parts) = (forward(x).values(), relevance.values());
        for (example, &class) in classes.iter().enumerate() {
            let sum: f64 = parts[example * parts.len() / 2..(example + 1) * parts.len() / 2].iter().sum();
            let logit = logits[example * logits.len() / 2 + class];
            assert!((sum - logit).abs() < 1e-6 * logit.abs().max(1e-3), "{sum} of {logit}");
        }
    };
    let unbiased = |name: &str| name.ends_with("bias") || name.ends_with("running_mean");
    for seed in 0..3 {
        let model: ResNet = any(seed, resnet(Stem::Large).init(&device));
        let model = with_parameters(model, |name, values| {
            if unbiased(name) {
                values.fill(0.0)
            }
        })
        .freeze();
        check(&[1, 2], uniform([2, 1, 16, 16], seed, &device, DType::F64), &|x| model.forward(x));
        let model: ConvNet = any(seed, ConvNetConfig { batch_norm: true, ..cnn() }.init(&device));
        let model = with_parameters(model, |name, values| {
            if unbiased(name) {
                values.fill(0.0)
            }
        })
        .freeze();
        check(&[3, 0], uniform([2, 1, 6, 6], seed, &device, DType::F64), &|x| model.forward(x));
    }
}

#[test]
fn equals_are_equal_and_what_does_not_matter_gets_nothing() {
    let device = device().autodiff();
    for seed in 0..4 {
        // Pixels 0 and 1 have the same weights, pixel 5 has none.
        let model = with_parameters(any::<Mlp>(seed, mlp().init(&device)), |name, values| {
            if name == "hidden.0.linear.weight" {
                values.copy_within(0..8, 8);
                values[40..48].fill(0.0);
            }
        });
        let model = model.freeze();
        let x: Tensor<2> = uniform([2, 36], seed, &device, DType::F64);
        let x = Tensor::cat(vec![x.clone().narrow(1, 0, 1), x.clone().narrow(1, 0, 1), x.narrow(1, 2, 34)], 1).reshape([2, 1, 6, 6]);
        let forward = |x: Tensor<4>| model.forward(x);
        let classes = &[0, 3];
        let all = [
            guided_backprop(x.clone(), classes, forward).unwrap(),
            deconvolution(x.clone(), classes, forward).unwrap(),
            deep_lift(x.clone(), x.zeros_like(), classes, forward).unwrap().attributions,
            lrp(x.clone(), classes, |_, _| LrpRule::Epsilon(1e-6), forward).unwrap(),
            lrp(x.clone(), classes, |_, _| LrpRule::Gamma(0.3), forward).unwrap(),
            lrp(x.clone(), classes, |_, _| LrpRule::AlphaBeta { alpha: 2.0, beta: 1.0 }, forward).unwrap(),
        ];
        for (method, values) in all.into_iter().enumerate() {
            for a in values.values().chunks(36) {
                assert!((a[0] - a[1]).abs() < 1e-12 && a[5] == 0.0, "method {method}, seed {seed}: {a:?}");
            }
        }
    }
}

#[test]
fn a_relu_hides_from_the_gradient_what_deconvolution_shows() {
    let device = device().autodiff();
    let model = waves::<Mlp>(mlp().init(&device), true, DType::F64);
    let x: Tensor<4> = uniform([2, 1, 6, 6], 5, &device, DType::F64);
    // The pieces are those of the model, in order, and what is led back through them by gradients is the gradient.
    let whole = dissect(|| model.forward(x.clone()));
    let kinds: Vec<&str> = whole
        .pieces
        .iter()
        .map(|piece| match piece.what {
            What::Linear { .. } => "linear",
            What::Activation(Activation::Relu) => "relu",
            _ => "else",
        })
        .collect();
    assert_eq!(kinds, ["linear", "relu", "linear", "relu", "linear"]);
    let smooth = any::<ConvNet>(1, ConvNetConfig { tanh: true, ..cnn() }.init(&device));
    let guided = guided_backprop(x.clone(), &[1, 2], |x| smooth.forward(x)).unwrap();
    assert_close(guided.abs(), saliency(x, &[1, 2], |x| smooth.forward(x)), 1e-9, 1e-12);
}

#[test]
fn a_model_that_is_not_covered_is_refused_by_name() {
    let device = device().autodiff();
    set_step_key(Key::new(1));
    let config = VitConfig { image: [1, 6, 6], patch: 3, width: 12, heads: 3, layers: 1, ..VitConfig::tiny_4() };
    let model = config.init(&device).freeze();
    let x: Tensor<4> = uniform([1, 1, 6, 6], 1, &device, DType::F32);
    let error = lrp(x.clone(), &[0], epsilon_plus, |x| model.forward(x)).unwrap_err().to_string();
    assert!(error.contains("layer norm") && error.contains("attention") && !error.contains('\n'), "{error}");
    // Batch norm that trains mixes the examples of a batch.
    let training = ConvNetConfig { batch_norm: true, ..cnn() }.init(&device);
    let error = deep_lift(x.clone(), x.zeros_like(), &[0], |x| training.forward(x)).unwrap_err().to_string();
    assert!(error.contains("not frozen"), "{error}");
    // And a refused pass leaves nothing behind.
    assert_eq!(dissect(|| ()).pieces.len(), 0);
    let site = fornax_layers::Site("elsewhere");
    let frozen = cnn().init(&device).freeze();
    assert!(guided_grad_cam(site, x, &[0], |x, tap| frozen.forward_with(x, tap)).unwrap().is_none());
}

#[test]
fn several_layers_may_read_a_junction() {
    let device = device().autodiff();
    let linear = |seed, inputs, outputs| any(seed, LinearConfig::new(inputs, outputs).with_bias(false).init(&device));
    let (first, second, head) = (linear(1, 6, 5), linear(2, 5, 5), linear(3, 5, 3));
    let forward = |x: Tensor<2>| {
        // Halved, which is no piece, for two readers.
        let h = junction(first.forward_activated(x, Activation::Relu) * 0.5);
        head.forward(second.forward_activated(h.clone(), Activation::Relu) + h)
    };
    let x: Tensor<2> = uniform([4, 6], 1, &device, DType::F64);
    let relevance = lrp(x.clone(), &[0, 1, 2, 0], |_, _| LrpRule::Epsilon(1e-12), forward).unwrap();
    assert_close(&relevance, input_x_gradient(x, &[0, 1, 2, 0], forward), 1e-6, 1e-9);
}
