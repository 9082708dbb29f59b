//! `--init`: the weights that the other side starts from.

use super::Settings;
use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::TensorData;
use fornax_weights::{TensorFile, Tensors, load_state, state};

/// A parameter's name in PyTorch, and whether its matrix is the transpose of ours, as that of every linear layer is.
pub(super) struct Theirs {
    pub(super) name: String,
    pub(super) transposed: bool,
}

/// Loads the file that the command line names, if any; `theirs` translates the names of the model's parameters.
pub(super) fn load<M: Module>(settings: &Settings, model: M, theirs: impl Fn(&str) -> Theirs) -> Result<M> {
    let Some(path) = &settings.init else { return Ok(model) };
    let file = TensorFile::read(path)?;
    let mut ours = Tensors::new();
    for name in state(&model).into_keys() {
        let Theirs { name: key, transposed } = theirs(&name);
        let data = file.tensors.get(&key).with_context(|| format!("`{key}` is missing in {}", path.display()))?;
        ours.insert(name, if transposed { transpose(data) } else { data.clone() });
    }
    Ok(load_state(model, &ours, "")?)
}

/// A matrix's transpose; anything else, as a bias is, stays.
fn transpose(data: &TensorData) -> TensorData {
    let &[o, i] = data.shape().to_vec().as_slice() else { return data.clone() };
    let values: Vec<f32> = data.iter::<f32>().collect();
    TensorData::new((0..i * o).map(|k| values[k % o * i + k / o]).collect::<Vec<f32>>(), [i, o])
}
