//! Linear regression with weights, solved exactly.

/// The `b` that minimizes `Σ wᵢ (yᵢ − zᵢᵀ b)² + λ bᵀ b`.
///
/// From the normal equations `(Zᵀ W Z + λ) b = Zᵀ W y`. Where they leave a direction open, what is open is 0.
pub(crate) fn least_squares(rows: &[Vec<f64>], targets: &[f64], weights: &[f64], ridge: f64) -> Vec<f64> {
    let count = rows.first().map_or(0, Vec::len);
    let mut matrix = vec![vec![0.0; count]; count];
    let mut right = vec![0.0; count];
    for ((row, y), w) in rows.iter().zip(targets).zip(weights) {
        for (i, z) in row.iter().enumerate() {
            right[i] += w * z * y;
            matrix[i].iter_mut().zip(row).for_each(|(cell, other)| *cell += w * z * other);
        }
    }
    (0..count).for_each(|i| matrix[i][i] += ridge);
    solve(matrix, right)
}

/// `A x = b` of a symmetric `A` without negative eigenvalues, by elimination with the largest pivot on the diagonal.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let size = b.len();
    let least = 1e-12 * (0..size).map(|i| a[i][i]).fold(0.0, f64::max);
    let mut open: Vec<usize> = (0..size).collect();
    let mut order = vec![];
    while let Some((place, &k)) =
        open.iter().enumerate().max_by(|(_, i), (_, j)| a[**i][**i].total_cmp(&a[**j][**j])).filter(|(_, k)| a[**k][**k] > least)
    {
        open.swap_remove(place);
        let pivot = a[k].clone();
        for &i in &open {
            let factor = a[i][k] / pivot[k];
            open.iter().for_each(|&j| a[i][j] -= factor * pivot[j]);
            b[i] -= factor * b[k];
        }
        order.push(k);
    }
    let mut x = vec![0.0; size];
    for (place, &k) in order.iter().enumerate().rev() {
        let known: f64 = order[place + 1..].iter().map(|&j| a[k][j] * x[j]).sum();
        x[k] = (b[k] - known) / a[k][k];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_through_points_is_found_and_weights_count() {
        let rows: Vec<Vec<f64>> = [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 7.0]].map(Vec::from).to_vec();
        let b = least_squares(&rows, &[3.0, 5.0, 7.0, -100.0], &[1.0, 2.0, 3.0, 0.0], 0.0);
        assert!((b[0] - 3.0).abs() < 1e-12 && (b[1] - 2.0).abs() < 1e-12, "{b:?}");
        // Two values of one number: the mean with weights 1 and 3, and with a ridge of 4 half of it.
        let one = vec![vec![1.0], vec![1.0]];
        assert!((least_squares(&one, &[0.0, 4.0], &[1.0, 3.0], 0.0)[0] - 3.0).abs() < 1e-12);
        assert!((least_squares(&one, &[0.0, 4.0], &[1.0, 3.0], 4.0)[0] - 1.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_open_is_zero() {
        let rows = vec![vec![1.0, 1.0, 0.0], vec![2.0, 2.0, 0.0]];
        let b = least_squares(&rows, &[3.0, 6.0], &[1.0, 1.0], 0.0);
        assert!((b[0] + b[1] - 3.0).abs() < 1e-12 && (b[0] == 0.0 || b[1] == 0.0) && b[2] == 0.0, "{b:?}");
        assert!(least_squares(&[], &[], &[], 0.0).is_empty());
    }
}
