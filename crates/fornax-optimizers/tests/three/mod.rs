//! The model of the generators `rules.py` and `lbfgs.py`.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_testkit::{Reference, Values, devices};

/// Ranks 1, 2 and 4.
#[derive(Module, Debug)]
pub(crate) struct Three {
    pub(crate) vector: Param<Tensor<1>>,
    pub(crate) matrix: Param<Tensor<2>>,
    pub(crate) kernel: Param<Tensor<4>>,
}

impl Three {
    /// Element i of parameter k is sin(1.7 i + k), rounded to f32, as in the generator.
    pub(crate) fn start(device: &Device, dtype: DType) -> Self {
        let values = |k: usize, n: usize| (0..n).map(|i| (1.7 * i as f64 + k as f64).sin() as f32).collect::<Vec<_>>();
        let data = |k, shape: Vec<usize>| TensorData::new(values(k, shape.iter().product()), shape).convert_dtype(dtype);
        Self {
            vector: Param::from_tensor(Tensor::from_data(data(0, vec![4]), (device, dtype))),
            matrix: Param::from_tensor(Tensor::from_data(data(1, vec![3, 4]), (device, dtype))),
            kernel: Param::from_tensor(Tensor::from_data(data(2, vec![2, 2, 1, 3]), (device, dtype))),
        }
    }

    pub(crate) fn values(&self) -> [Vec<f64>; 3] {
        [self.vector.val().values(), self.matrix.val().values(), self.kernel.val().values()]
    }

    /// The largest difference from the numbers of a fixture, as a share of each tensor's largest; NaN if there is one.
    pub(crate) fn distance(&self, expected: &Reference) -> f64 {
        let of = |got: &[f64], expected: &[f64]| {
            assert_eq!(got.len(), expected.len());
            let largest = expected.iter().fold(0f64, |max, x| max.max(x.abs()));
            got.iter().zip(expected).map(|(g, e)| (g - e).abs() / largest).fold(0f64, |max, x| if x > max || x.is_nan() { x } else { max })
        };
        let parts = ["vector", "matrix", "kernel"].into_iter().zip(self.values());
        parts.map(|(name, got)| of(&got, &expected.values(name))).fold(0.0, |max, x| if x > max || x.is_nan() { x } else { max })
    }
}

/// In both types, on every device.
pub(crate) fn everywhere(run: impl Fn(&Device, DType)) {
    for device in devices() {
        [DType::F64, DType::F32].into_iter().for_each(|dtype| run(&device.clone().autodiff(), dtype));
    }
}
