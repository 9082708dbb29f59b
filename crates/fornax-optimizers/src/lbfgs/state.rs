//! What L-BFGS remembers, as the tensors of a checkpoint.

use super::{Last, Lbfgs, flat::Flat};
use crate::StateError;
use burn::module::{Module, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use fornax_weights::{Tensors, names_by_id};
use std::collections::BTreeSet;

const PAIRS: &str = "#pairs";
const SIZE: &str = "#size";

impl Lbfgs {
    pub(super) fn write<M: Module>(&self, model: &M) -> Tensors {
        let size = self.last.as_ref().map_or(f64::NAN, |last| last.size);
        let mut tensors: Tensors = [(PAIRS.into(), TensorData::from([self.pairs.len() as i64])), (SIZE.into(), TensorData::from([size]))].into();
        let names = names_by_id(model);
        let mut put = |what: &str, flat: &Flat| {
            for (id, tensor) in flat {
                if let Some(name) = names.get(id) {
                    tensors.insert(format!("{name}#{what}"), tensor.to_data());
                }
            }
        };
        for (k, (s, y)) in self.pairs.iter().enumerate() {
            put(&format!("s{k}"), s);
            put(&format!("y{k}"), y);
        }
        if let Some(last) = &self.last {
            put("gradient", &last.gradient);
            put("direction", &last.direction);
        }
        tensors
    }

    pub(super) fn read<M: Module>(&mut self, model: &M, tensors: &Tensors) -> Result<(), StateError> {
        let one = |key: &str, dtype: DType| {
            let data = tensors.get(key).ok_or_else(|| StateError::new("missing", key))?;
            if data.dtype() == dtype && data.num_elements() == 1 { Ok(data) } else { Err(StateError::new("damaged", key)) }
        };
        let count = one(PAIRS, DType::I64)?.iter::<i64>().next().and_then(|n| usize::try_from(n).ok());
        let count = count.filter(|&n| n <= self.config.history_size).ok_or_else(|| StateError::new("damaged", PAIRS))?;
        let size = one(SIZE, DType::F64)?.iter::<f64>().next().unwrap_or(f64::NAN);
        let mut left: BTreeSet<&str> = tensors.keys().map(String::as_str).filter(|key| ![PAIRS, SIZE].contains(key)).collect();
        let sizes = fornax_weights::state(model);
        let device = model.devices().first().map(|device| device.clone().inner());
        // Which parameters took part is what there is of them; the order is the model's.
        let takes_part = |name: &str| tensors.keys().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('#')));
        let order: Vec<(ParamId, String)> = ordered(model).into_iter().filter(|(_, name)| takes_part(name)).collect();
        let mut take = |what: &str| -> Result<Flat, StateError> {
            let part = order.iter().map(|(id, name)| {
                let key = format!("{name}#{what}");
                let data = tensors.get(&key).ok_or_else(|| StateError::new("missing", &key))?;
                left.remove(key.as_str());
                if !data.dtype().is_float() || data.shape().to_vec() != [sizes[name].num_elements()] {
                    return Err(StateError::new("another size or type of", &key));
                }
                let device = device.as_ref().ok_or_else(|| StateError::new("unknown", &key))?;
                Ok((*id, Tensor::from_data(data.clone(), (device, data.dtype()))))
            });
            part.collect()
        };
        let pairs = (0..count).map(|k| Ok((take(&format!("s{k}"))?, take(&format!("y{k}"))?))).collect::<Result<_, StateError>>()?;
        let last = match order.is_empty() {
            true if !size.is_nan() => return Err(StateError::new("missing", "#gradient")),
            true => None,
            false => Some(Last { gradient: take("gradient")?, direction: take("direction")?, size }),
        };
        if let Some(key) = left.first() {
            return Err(StateError::new("unknown", key));
        }
        (self.pairs, self.last) = (pairs, last);
        Ok(())
    }
}

/// The parameters in the model's order, each once.
fn ordered<M: Module>(model: &M) -> Vec<(ParamId, String)> {
    let names = names_by_id(model);
    let mut seen = BTreeSet::new();
    let ids = burn::module::list_param_ids(model);
    ids.into_iter().filter_map(|id| Some((id, names.get(&id)?.clone()))).filter(|(_, name)| seen.insert(name.clone())).collect()
}
