use crate::{bits, device};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use fornax_optimizers::{Configured, Gradients, Group, Optimizer, PerTensor, Rule};
use fornax_weights::{Tensors, load_state, state};

/// A small model: a matrix and a vector.
#[derive(Module, Debug)]
pub struct Pair {
    /// `[2, 3]`
    pub matrix: Param<Tensor<2>>,
    /// `[3]`
    pub vector: Param<Tensor<1>>,
}

/// A model whose parameter has another name and shape.
#[derive(Module, Debug)]
struct Other {
    scalar: Param<Tensor<1>>,
}

impl Pair {
    /// With given numbers.
    pub fn new(matrix: Tensor<2>, vector: Tensor<1>) -> Self {
        Self { matrix: Param::from_tensor(matrix), vector: Param::from_tensor(vector) }
    }

    fn start(device: &Device) -> Self {
        Self::new(Tensor::from_data([[1.5, -0.5, 0.75], [-1.25, 2.0, 0.25]], device), Tensor::from_data([0.5, -1.0, 1.75], device))
    }

    fn bits(&self) -> [Vec<u8>; 2] {
        [bits(&self.matrix.val()), bits(&self.vector.val())]
    }
}

/// Gradients that are exactly `matrix` and `vector`: those of `Σ θ ⊙ g`.
pub fn follow(model: &Pair, matrix: Tensor<2>, vector: Tensor<1>) -> Gradients {
    Gradients::of(&((model.matrix.val() * matrix).sum() + (model.vector.val() * vector).sum()), model)
}

/// A gradient of step `step`, times `scale`.
fn wave(model: &Pair, step: usize, scale: f64) -> Gradients {
    let device = model.vector.val().device();
    let values = |n: usize, phase: f64| (0..n).map(|i| (scale * (0.7 * step as f64 + 1.3 * i as f64 + phase).sin()) as f32).collect::<Vec<_>>();
    let matrix = Tensor::from_data(TensorData::new(values(6, 0.2), [2, 3]), &device);
    follow(model, matrix, Tensor::from_data(TensorData::new(values(3, 0.9), [3]), &device))
}

fn run<O: Optimizer>(mut optimizer: O, lr: f64, mut model: Pair, steps: usize) -> (O, Pair) {
    for step in 0..steps {
        let gradients = wave(&model, step, 1.0);
        model = optimizer.step(lr, model, &gradients);
    }
    (optimizer, model)
}

/// What every update rule keeps. `make(λ)` builds its optimizer with weight decay λ; `lr` is one that suits it.
///
/// As [`check_optimizer`]; and of a rule on each parameter by itself, groups replace η and λ exactly.
///
/// # Panics
/// If something does not hold.
pub fn check_rule(lr: f64, make: impl Fn(f64) -> Configured) {
    check_optimizer(lr, &make);
    if let Configured::PerTensor(first) = make(0.0) {
        let per_tensor = |decay: f64| match make(decay) {
            Configured::PerTensor(optimizer) => *optimizer,
            Configured::Lbfgs(_) => unreachable!("decay does not change what it is"),
        };
        groups(lr, first.rule(), per_tensor, &device().autodiff());
    }
}

/// What every optimizer keeps. `make(λ)` builds it with weight decay λ, or without where it has none; `lr` is one that suits it.
///
/// It descends a parabola while η falls; resumes bit-exactly; refuses foreign state, and is then as before; a zero gradient without decay moves nothing;
/// parameters without a gradient stay; and the layout of a gradient in memory does not matter.
///
/// # Panics
/// If something does not hold.
pub fn check_optimizer<O: Optimizer>(lr: f64, make: impl Fn(f64) -> O) {
    let device = device().autodiff();
    descends(lr, make(0.0), &device);
    resumes(lr, || make(0.1), &device);
    refuses(lr, || make(0.1), &device);
    rests(lr, || make(0.0), &device);
    any_layout(lr, || make(0.1), &device);
}

fn descends<O: Optimizer>(lr: f64, mut optimizer: O, device: &Device) {
    let mut model = Pair::start(device);
    let loss = |model: &Pair| {
        let target = Tensor::<2>::from_data([[0.5, 0.5, -1.0], [0.25, 1.0, -0.5]], device);
        ((model.matrix.val() - target).square() * 2.0).sum() + (model.vector.val() + 0.3).square().sum() * 0.5
    };
    let first = loss(&model).into_scalar::<f32>();
    // η falls to nothing: a rule whose steps have a fixed size would else end beside the lowest point.
    for step in 0..400 {
        let gradients = Gradients::of(&loss(&model), &model);
        model = optimizer.step(lr * (1.0 - f64::from(step) / 400.0), model, &gradients);
    }
    let model = optimizer.eval_weights(&model).unwrap_or(model);
    let last = loss(&model).into_scalar::<f32>();
    assert!(last < 1e-3 * first, "400 steps on a parabola lead from {first} to {last} only");
}

/// A resumed run is another process: a model with other ids, an optimizer that has seen nothing. What follows is weak and opposes what came
/// before, so that a forgotten momentum, second moment or step shows at once.
fn resumes<O: Optimizer>(lr: f64, make: impl Fn() -> O, device: &Device) {
    let (optimizer, model) = run(make(), lr, Pair::start(device), 6);
    let saved = optimizer.state(&model);
    let twin = || load_state(Pair::start(device), &state(&model), "").expect("the same model");
    let mut resumed = make();
    resumed.load_state(&twin(), &saved).expect("a rule takes back its own state");

    let go_on = |mut optimizer: O, mut model: Pair| {
        for step in 0..4 {
            let gradients = wave(&model, step, -0.05);
            model = optimizer.step(lr, model, &gradients);
        }
        model.bits()
    };
    let new = twin();
    resumed.load_state(&new, &saved).expect("loading again is harmless");
    let state_again = resumed.state(&new);
    let want = go_on(optimizer, model.clone());
    assert!(go_on(resumed, new) == want, "a resumed run differs from one that was never interrupted");
    assert_eq!(state_again, saved, "the state changes by loading and saving it");
    let remembers = saved.keys().any(|key| !key.ends_with("#step"));
    assert!(!remembers || go_on(make(), twin()) != want, "the state makes no difference: this contract tests nothing");
}

fn refuses<O: Optimizer>(lr: f64, make: impl Fn() -> O, device: &Device) {
    let (mut optimizer, model) = run(make(), lr, Pair::start(device), 2);
    let saved = optimizer.state(&model);
    assert!(!saved.is_empty());
    let mut refuse = |bad: &Tensors, named: &str, why: &str| {
        let error = optimizer.load_state(&model, bad).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
        assert_eq!(optimizer.state(&model), saved, "{why}: refused state must leave the optimizer as it was");
    };
    for key in saved.keys() {
        let mut bad = saved.clone();
        let data = bad.remove(key).expect("it is there");
        refuse(&bad, key.split('#').next().unwrap_or_default(), "a part is missing");
        bad.insert(format!("{key}x"), data.clone());
        refuse(&bad, key, "a part is unknown");
        for shape in [vec![data.num_elements(), 2], vec![0]] {
            let elements = vec![1f32; shape.iter().product()];
            bad = saved.clone();
            bad.insert(key.clone(), TensorData::new(elements, shape));
            refuse(&bad, key, "a part has another shape");
        }
    }
    refuse(&Tensors::new(), "#", "there is nothing");
    let mut more = saved.clone();
    more.insert("nobody#step".into(), TensorData::from([1i64]));
    refuse(&more, "nobody#step", "a part belongs to no parameter");
    for step in [-1i64, i64::MIN] {
        let mut bad = saved.clone();
        bad.insert("vector#step".into(), TensorData::from([step]));
        refuse(&bad, "vector", "a step is negative");
    }
    let other = Other { scalar: Param::from_tensor(Tensor::from_data([1.0], device)) };
    let mut strange = make();
    let gradients = Gradients::of(&other.scalar.val().sum(), &other);
    let other = strange.step(lr, other, &gradients);
    refuse(&strange.state(&other), "", "the state is of another model");
}

fn rests<O: Optimizer>(lr: f64, make: impl Fn() -> O, device: &Device) {
    let model = Pair::start(device);
    let before = model.bits();
    let gradients = wave(&model, 0, 0.0);
    assert!(make().step(lr, model, &gradients).bits() == before, "a zero gradient without decay moved a parameter");

    // Two steps: the first may only set something up.
    let mut optimizer = make();
    let mut model = Pair::start(device);
    for _ in 0..2 {
        let gradients = Gradients::of(&model.matrix.val().sum(), &model);
        model = optimizer.step(lr, model, &gradients);
    }
    let [matrix, vector] = model.bits();
    assert!(vector == before[1], "a parameter without a gradient moved");
    assert!(matrix != before[0], "a parameter with a gradient did not move");
}

fn groups(lr: f64, rule: &dyn Rule, make: impl Fn(f64) -> PerTensor, device: &Device) {
    let all = |_: &str, _: &[usize]| true;
    let result = |optimizer: PerTensor, lr: f64| run(optimizer, lr, Pair::start(device), 5).1.bits();
    let plain = result(make(0.1), lr);
    let neutral = Group { select: all, lr_scale: 1.0, weight_decay: None };
    assert!(result(make(0.1).with_group(neutral), lr) == plain, "a group that changes nothing changes something");
    let halved = Group { lr_scale: 0.5, ..neutral };
    assert!(result(make(0.1).with_group(halved), lr) == result(make(0.1), lr * 0.5), "a group's scale is not that of η");
    let decayed = Group { weight_decay: Some(0.1), ..neutral };
    assert!(result(make(0.0).with_group(decayed), lr) == plain, "a group's decay is not the rule's");
    let [matrix, vector] = result(make(0.1).with_group(Group::VECTORS_WITHOUT_DECAY), lr);
    // A rule with numbers over all parameters lets one feel the decay of another.
    let apart = rule.globals().is_empty();
    assert!(!apart || matrix == plain[0] && vector == result(make(0.0), lr)[1], "vectors must go without decay, and matrices with it");
    assert!(vector != plain[1], "decay makes no difference");
}

fn any_layout<O: Optimizer>(lr: f64, make: impl Fn() -> O, device: &Device) {
    let direct = Pair::start(device);
    let g = Tensor::<2>::from_data([[0.3, -0.7, 0.2], [0.9, 0.1, -0.4]], device);
    let gradients = follow(&direct, g.clone(), Tensor::ones([3], device));
    let direct = make().step(lr, direct, &gradients);

    let turned = Pair::start(device);
    let loss = (turned.matrix.val().transpose() * g.transpose()).sum() + turned.vector.val().sum();
    let gradients = Gradients::of(&loss, &turned);
    let turned = make().step(lr, turned, &gradients);
    assert!(direct.bits() == turned.bits(), "a gradient that arrives as a view gives another step");
}
