//! A look-up and its gradient on slices of f32.

use crate::op::{self, Array, Op, Tape, View};
use crate::simd::{add, vectorized};
use burn::tensor::{Int, Tensor};
use rayon::prelude::*;

/// Rows a task.
const ROWS: usize = 64;

#[derive(Debug)]
struct Embedding {
    ids: Vec<u32>,
    /// Of `ids`.
    shape: [usize; 2],
    /// Rows and width of the table.
    table: [usize; 2],
}

/// See [`super::embedding`].
pub(super) fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    let [rows, width] = table.dims();
    let number = |id: i64| {
        assert!((0..rows as i64).contains(&id), "number {id} has no row in an embedding of {rows}");
        id as u32
    };
    let op = Embedding { shape: ids.dims(), ids: ids.into_data().iter::<i64>().map(number).collect(), table: [rows, width] };
    let [y, ..] = op::apply(op, [table.into_dispatch()]);
    Tensor::from_dispatch(y)
}

impl Op for Embedding {
    fn forward(&self, inputs: &[View], _train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let (table, width) = (inputs[0].data, self.table[1]);
        let mut y = vec![0.0; self.ids.len() * width];
        y.par_chunks_mut((ROWS * width).max(1)).zip(self.ids.par_chunks(ROWS)).for_each(|(y, ids)| {
            y.chunks_exact_mut(width).zip(ids).for_each(|(y, &id)| y.copy_from_slice(&table[id as usize * width..][..width]));
        });
        (vec![Array::new(y, [self.shape[0], self.shape[1], width])], vec![])
    }

    fn backward(&self, _tape: &Tape, dy: &[Option<View>], _wanted: &[bool]) -> Vec<Option<Array>> {
        let Some(dy) = dy[0] else { return vec![None] };
        let [rows, width] = self.table;
        // Places of the ids, sorted by id and then by place.
        let mut places: Vec<u32> = (0..self.ids.len() as u32).collect();
        places.sort_by_key(|&place| self.ids[place as usize]);
        let of = |row: usize| places.partition_point(|&place| (self.ids[place as usize] as usize) < row);
        let mut gradient = vec![0.0; rows * width];
        gradient.par_chunks_mut(width.max(1)).with_min_len(4).enumerate().for_each(|(row, gradient)| {
            let places = &places[of(row)..of(row + 1)];
            vectorized(
                #[inline(always)]
                || places.iter().for_each(|&place| add(gradient, &dy.data[place as usize * width..][..width])),
            );
        });
        vec![Some(Array::new(gradient, self.table))]
    }

    fn keeps_input(&self, _index: usize) -> bool {
        false
    }
}
