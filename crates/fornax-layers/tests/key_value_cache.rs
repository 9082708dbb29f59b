//! The cache of keys and values against attention to all of them: step by step, in pieces, rolling, with rows chosen anew.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Int, Tensor};
use fornax_kernels::attention::{Mask, attention};
use fornax_layers::{KeyValueCache, positions::sliding_window};
use fornax_testkit::{assert_close, devices, uniform};
use proptest::prelude::*;

/// Queries of `heads`, keys and values of `groups`.
fn qkv([batch, heads, groups, time, width]: [usize; 5], device: &Device) -> [Tensor<4>; 3] {
    let part = |count, seed| uniform([batch, count, time, width], seed, device, DType::F32) * 3.0;
    [part(heads, 1), part(groups, 2), part(groups, 3)]
}

fn in_pieces(cache: &mut KeyValueCache, x: &[Tensor<4>; 3], pieces: &[usize]) -> Tensor<4> {
    let mut first = 0;
    let mut piece = |&steps: &usize| {
        let [q, k, v] = x.clone().map(|x| x.narrow(2, first, steps));
        first += steps;
        cache.attend(q, k, v)
    };
    Tensor::cat(pieces.iter().map(&mut piece).collect(), 2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_are_as_the_whole(batch in 1usize..3, groups in 1usize..3, shared in 1usize..3, width in 1usize..6, pieces in proptest::collection::vec(1usize..40, 1..6)) {
        for device in devices() {
            let time = pieces.iter().sum();
            let x = qkv([batch, groups * shared, groups, time, width], &device);
            let mut cache = KeyValueCache::new();
            let found = in_pieces(&mut cache, &x, &pieces);
            let [q, k, v] = x;
            assert_close(found, attention(q, k, v, &Mask::causal()), 1e-5, 1e-5);
            prop_assert_eq!(cache.len(), time);
        }
    }

    #[test]
    fn a_rolling_cache_is_a_window(window in 1usize..9, pieces in proptest::collection::vec(1usize..7, 1..8)) {
        for device in devices() {
            let time = pieces.iter().sum();
            let x = qkv([2, 2, 1, time, 3], &device);
            let mut cache = KeyValueCache::rolling(window);
            let found = in_pieces(&mut cache, &x, &pieces);
            let [q, k, v] = x;
            let mask = Mask { bias: Some(sliding_window(window, 0, time, &device)), ..Mask::default() };
            assert_close(found, attention(q, k, v, &mask), 1e-5, 1e-5);
            prop_assert!(cache.bytes() <= 2 * 4 * 2 * window.max(1) * 3, "{} bytes for a window of {window}", cache.bytes());
        }
    }
}

#[test]
fn chosen_rows_go_on_as_themselves() {
    for device in devices() {
        let x = qkv([3, 2, 2, 5, 4], &device);
        let [q, k, v] = x.clone();
        let all = attention(q, k, v, &Mask::causal());
        let mut cache = KeyValueCache::new();
        in_pieces(&mut cache, &x, &[2, 1]);
        let rows = Tensor::<1, Int>::from_data([2, 0, 2], &device);
        let mut cache = cache.select(&rows);
        let [q, k, v] = x.map(|x| x.select(0, rows.clone()).narrow(2, 3, 2));
        assert_close(cache.attend(q, k, v), all.select(0, rows).narrow(2, 3, 2), 1e-5, 1e-5);
    }
}
