//! The layer of Burn's operations, step by step.

use super::{Cell, State, Weights, check};
use burn::tensor::{
    Bool, Tensor, TensorData,
    activation::{relu, sigmoid, tanh},
};

/// What [`super::recurrent`] does, of Burn's operations: for any backend and type, and to compare with.
///
/// # Panics
/// As [`super::recurrent`].
pub fn composed(cell: Cell, x: Tensor<3>, weights: Weights, state: Option<State>, lengths: Option<&[usize]>, reverse: bool) -> (Tensor<3>, State) {
    let State { mut h, mut c } = check(cell, &x, &weights, state, lengths);
    let Weights { w_ih, w_hh, bias, w_hr } = weights;
    let ([batch, time, inputs], [rows, outputs], device) = (x.dims(), w_hh.dims(), x.device());
    let hidden = rows / cell.gates();
    // Whatever padding holds, NaN included, must not reach a product.
    let x = match lengths {
        None => x,
        Some(lengths) => {
            let padding = lengths.iter().flat_map(|length| (0..time).flat_map(move |t| vec![t >= *length; inputs])).collect();
            let padding: Tensor<3, Bool> = Tensor::from_data(TensorData::new::<bool, _>(padding, [batch, time, inputs]), &device);
            x.mask_fill(padding, 0.0)
        }
    };
    // A gate's weights by themselves, since the gradient of cutting a step's gates apart is a tensor of zeros for each.
    let matrix = |w: &Tensor<2>, gate: usize| w.clone().narrow(0, gate * hidden, hidden).transpose();
    let add_bias = |y: Tensor<2>, which: usize, gate: usize| match &bias {
        Some(bias) => y + bias[which].clone().narrow(0, gate * hidden, hidden).reshape([1, hidden]),
        None => y,
    };
    let flat: Tensor<2> = x.reshape([batch * time, inputs]);
    let from_x: Vec<Tensor<3>> =
        (0..cell.gates()).map(|gate| add_bias(flat.clone().matmul(matrix(&w_ih, gate)), 0, gate).reshape([batch, time, hidden])).collect();
    let of_state: Vec<Tensor<2>> = (0..cell.gates()).map(|gate| matrix(&w_hh, gate)).collect();
    let mut y: Vec<Tensor<3>> = vec![];
    for step in 0..time {
        let t = if reverse { time - 1 - step } else { step };
        let input = |gate: usize| -> Tensor<2> { from_x[gate].clone().narrow(1, t, 1).reshape([batch, hidden]) };
        let state = |gate: usize| add_bias(h.clone().matmul(of_state[gate].clone()), 1, gate);
        let both = |gate: usize| input(gate) + state(gate);
        let (mut next, mut next_c) = match cell {
            Cell::Lstm => {
                let before = c.clone().expect("checked: an LSTM has a `c`");
                let c = sigmoid(both(1)) * before + sigmoid(both(0)) * tanh(both(2));
                (sigmoid(both(3)) * tanh(c.clone()), Some(c))
            }
            Cell::Gru => {
                let (r, z) = (sigmoid(both(0)), sigmoid(both(1)));
                let n = tanh(input(2) + r * state(2));
                (n.clone() + z * (h.clone() - n), None)
            }
            Cell::Tanh => (tanh(both(0)), None),
            Cell::Relu => (relu(both(0)), None),
        };
        if let Some(w_hr) = &w_hr {
            next = next.matmul(w_hr.clone().transpose());
        }
        let mut out = next.clone();
        if let Some(lengths) = lengths {
            let over = |width: usize| -> Tensor<2, Bool> {
                let over = lengths.iter().flat_map(|length| vec![t >= *length; width]).collect();
                Tensor::from_data(TensorData::new::<bool, _>(over, [batch, width]), &device)
            };
            next = next.mask_where(over(outputs), h);
            next_c = next_c.zip(c).map(|(next, c)| next.mask_where(over(hidden), c));
            out = out.mask_fill(over(outputs), 0.0);
        }
        (h, c) = (next, next_c);
        y.push(out.reshape([batch, 1, outputs]));
    }
    if reverse {
        y.reverse();
    }
    let y = if y.is_empty() { Tensor::zeros([batch, time, outputs], (&device, h.dtype())) } else { Tensor::cat(y, 1) };
    (y, State { h, c })
}
