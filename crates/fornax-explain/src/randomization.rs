use crate::random_orders;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use fornax_kernels::random::Key;

/// What is left of attributions when a layer and all behind it are random.
#[derive(Debug, Clone, PartialEq)]
pub struct Randomized {
    /// The layer, by its path in the model; empty for parameters of the model itself.
    pub layer: String,
    /// [`spearman`] of the attributions before and after, of each example.
    pub similarity: Vec<f64>,
}

/// A sanity check: the model is made random layer by layer, from the last to the first, and its attributions are compared with those before.
///
/// Attributions that stay the same do not depend on what the model learned. A layer is what has parameters side by side; each parameter's numbers
/// are shuffled, so that their sizes stay (the source draws them anew), which leaves a parameter of equal numbers as it is. `attribute` explains the
/// same examples with the model that it is given; whether it returns sizes or signs is its choice. The layers from the last to the first.
///
/// Source: Adebayo et al., "Sanity checks for saliency maps", 2018 (<https://arxiv.org/abs/1810.03292>), section 3, cascading randomization.
pub fn model_randomization<M: Module, const D: usize>(model: &M, key: Key, attribute: impl Fn(&M) -> Tensor<D>) -> Vec<Randomized> {
    let rows = |a: Tensor<D>| {
        let examples = a.dims()[0].max(1);
        let numbers: Vec<f64> = a.into_data().iter::<f64>().collect();
        numbers.chunks((numbers.len() / examples).max(1)).map(<[f64]>::to_vec).collect::<Vec<_>>()
    };
    let before = rows(attribute(model));
    let mut layers = Layers::default();
    model.visit(&mut layers);
    let mut model = model.clone();
    let mut results = vec![];
    for (n, layer) in layers.found.into_iter().enumerate().rev() {
        model = model.map(&mut Shuffle { path: vec![], layer: layer.clone(), key: key.fold(n as u64), done: 0 });
        let similarity = before.iter().zip(rows(attribute(&model))).map(|(a, b)| spearman(a, &b)).collect();
        results.push(Randomized { layer, similarity });
    }
    results
}

/// The rank correlation of two lists: Pearson's of their ranks, equals sharing the mean of theirs. 0 if either is constant.
///
/// Source: Spearman, "The proof and measurement of association between two things", 1904.
///
/// # Panics
/// If they differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "a rank correlation of lists of one length");
    let (a, b) = (ranks(a), ranks(b));
    // The mean of all ranks.
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let below = (product(&a, &a) * product(&b, &b)).sqrt();
    if below == 0.0 { 0.0 } else { product(&a, &b) / below }
}

/// From 0 on.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
        first += equal.len();
    }
    ranks
}

/// The paths of modules with parameters of their own, in the model's order.
#[derive(Default)]
struct Layers {
    path: Vec<String>,
    found: Vec<String>,
}

/// Of a parameter's path, the module's.
fn owner(path: &[String]) -> String {
    path[..path.len().saturating_sub(1)].join(".")
}

impl ModuleVisitor for Layers {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        let layer = owner(&self.path);
        if !self.found.contains(&layer) {
            self.found.push(layer);
        }
    }
}

struct Shuffle {
    path: Vec<String>,
    layer: String,
    key: Key,
    done: u64,
}

impl ModuleMapper for Shuffle {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if owner(&self.path) != self.layer {
            return param;
        }
        self.done += 1;
        let key = self.key.fold(self.done);
        param.map(|old| {
            let values: Vec<f64> = old.to_data().iter::<f64>().collect();
            let order = random_orders(key, values.len(), 1).remove(0);
            let shuffled = order.into_iter().map(|from| values[from]).collect();
            let data = TensorData::new::<f64, _>(shuffled, old.dims()).convert_dtype(old.dtype());
            Tensor::from_data(data, (&old.device(), old.dtype())).set_require_grad(old.is_require_grad())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlations_that_are_known() {
        assert!((spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 25.0]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
        // SciPy's spearmanr([1, 2, 2, 4], [3, 1, 2, 4]) = 0.4 · √(10/9) …: ranks (0, 1.5, 1.5, 3) and (2, 0, 1, 3).
        let want = (1.5 * -0.5 + 0.0 + 0.0 + 1.5 * 1.5) / (4.5f64 * 5.0).sqrt();
        let got = spearman(&[1.0, 2.0, 2.0, 4.0], &[3.0, 1.0, 2.0, 4.0]);
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
}
