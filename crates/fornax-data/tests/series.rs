//! `.ts` files, sets of series, and JapaneseVowels.

use fornax_data::{DataError, JAPANESE_VOWELS, Loader, SeriesSet, Split, pad, resolve, ts};
use proptest::prelude::*;
use std::sync::Arc;

fn read(text: &str) -> Result<SeriesSet, String> {
    ts::from_bytes("x.ts".as_ref(), text.as_bytes()).map_err(|error| error.to_string())
}

const HEAD: &str = "# a comment\n@problemName X\n@timeStamps false\n@univariate false\n@dimensions 2\n@classLabel true yes no\n@data\n";

#[test]
fn a_case_is_steps_of_all_dimensions() {
    let set = read(&format!("{HEAD}1,2,3:-4,5.5,6e-1:no\n\n0:?:yes\n")).unwrap();
    assert_eq!((set.channels, &set.classes[..], &set.labels[..]), (2, &["yes".to_string(), "no".into()][..], &[1, 0][..]));
    assert_eq!(set.series[0], [1.0, -4.0, 2.0, 5.5, 3.0, 0.6]);
    assert!(set.series[1][0] == 0.0 && set.series[1][1].is_nan());
    assert_eq!([set.steps(0), set.steps(1)], [3, 1]);
    let univariate = read("@univariate true\n@classLabel true a\n@data\n1,2:a\n").unwrap();
    assert_eq!((univariate.channels, &univariate.series[0][..]), (1, &[1.0, 2.0][..]));
    let counted = read("@classLabel true a\n@data\n1:2:3:a\n").unwrap();
    assert_eq!((counted.channels, &counted.series[0][..]), (3, &[1.0, 2.0, 3.0][..]));
    let error = read("@classLabel true a\n@data\n1:2:a\n1:a\n").unwrap_err();
    assert!(error.contains("line 4: 1 dimensions instead of 2"), "{error}");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, says) in [
        (String::new(), "does not end with @data"),
        ("@classLabel true a\n".into(), "does not end with @data"),
        ("@data\n1:a\n".into(), "names no classes"),
        ("@classLabel false\n@data\n1\n".into(), "names no classes"),
        ("@timeStamps true\n@data\n".into(), "line 1: series with time stamps"),
        ("@dimensions none\n@data\n".into(), "line 1: `none` is no number of dimensions"),
        ("@dimensions 0\n@data\n".into(), "line 1: `0` is no number of dimensions"),
        ("hello\n".into(), "line 1: neither"),
        (format!("{HEAD}1,2:3,4:maybe\n"), "line 8: class `maybe` is not in the header"),
        (format!("{HEAD}1,2,no\n"), "line 8: a case without `:`"),
        (format!("{HEAD}1,2:3:no\n"), "line 8: dimensions of 2 and 1 steps"),
        (format!("{HEAD}1,two:3,4:no\n"), "line 8: `two` is no number"),
        (format!("{HEAD}1,inf:3,4:no\n"), "line 8: `inf` is no number"),
        (format!("{HEAD}1,:3,4:no\n"), "line 8: `` is no number"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.starts_with("not a readable time series file: ") && error.contains(says) && error.ends_with("x.ts"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
    let error = ts::from_bytes("x.ts".as_ref(), &[0xFF, 0xFE, 0x41]).unwrap_err().to_string();
    assert!(error.contains("not text"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let _ = ts::from_bytes("x.ts".as_ref(), &bytes);
        let text = format!("{HEAD}1,2,3:-4,5.5,6e-1:no\n0:?:yes\n");
        let mut text = text.into_bytes();
        text.truncate(cut);
        text.extend(bytes);
        let _ = ts::from_bytes("x.ts".as_ref(), &text);
    }
}

fn vowels(split: Split) -> SeriesSet {
    resolve(&JAPANESE_VOWELS, None).unwrap().load_series(split).unwrap()
}

#[test]
fn japanese_vowels_are_all_there() {
    let (train, test) = (vowels(Split::Train), vowels(Split::Test));
    assert_eq!(train.count_by_class(), [30; 9]);
    assert_eq!(test.count_by_class(), [31, 35, 88, 44, 29, 24, 40, 50, 29]);
    let steps = |set: &SeriesSet| (0..set.len()).map(|i| set.steps(i)).collect::<Vec<_>>();
    let bounds = |steps: &[usize]| (steps.iter().min().copied(), steps.iter().max().copied(), steps.iter().sum::<usize>());
    assert_eq!((train.channels, bounds(&steps(&train)), bounds(&steps(&test))), (12, (Some(7), Some(26), 4274), (Some(7), Some(29), 5687)));
    // First step of the first series, and its second value of the first channel.
    assert_eq!((train.series[0][..3].to_vec(), train.series[0][12]), (vec![1.860936, -0.207383, 0.261557], 1.891651));
    let error = resolve(&JAPANESE_VOWELS, None).unwrap().load_series(Split::Valid).unwrap_err();
    assert!(matches!(error, DataError::NoSplit { .. }) && error.to_string().contains("hold folds"), "{error}");
}

#[test]
fn folds_are_parts_with_their_share_of_every_class() {
    let train = vowels(Split::Train);
    let mut seen = vec![];
    for index in 0..5 {
        let (rest, fold) = train.fold(index, 5, 3);
        assert_eq!((rest.count_by_class(), fold.count_by_class()), (vec![24; 9], vec![6; 9]));
        seen.extend(fold.series);
    }
    let order = |mut series: Vec<Vec<f32>>| {
        series.sort_by(|a, b| a.partial_cmp(b).unwrap());
        series
    };
    assert!(order(seen) == order(train.series.clone()), "every series is in exactly one fold");
    assert!(train.fold(0, 5, 3) == train.fold(0, 5, 3) && train.fold(0, 5, 3) != train.fold(0, 5, 4));
    // What does not divide goes to different folds.
    let odd = train.subset(&(0..270).filter(|i| i % 30 < 6).collect::<Vec<_>>());
    let sizes: Vec<usize> = (0..5).map(|i| odd.fold(i, 5, 0).1.len()).collect();
    assert_eq!(sizes, [11, 11, 11, 11, 10]);
}

#[test]
fn channels_are_standardized_by_their_moments() {
    let mut train = vowels(Split::Train);
    let moments = train.moments();
    train.standardize(&moments);
    for (mean, deviation) in train.moments() {
        assert!(mean.abs() < 1e-5 && (deviation - 1.0).abs() < 1e-5, "{mean} {deviation}");
    }
    let series = vec![vec![1.0, 7.0, f32::NAN, 7.0], vec![3.0, 7.0]];
    let mut odd = SeriesSet::new(2, series, vec![0, 0], vec!["a".into()]).unwrap();
    assert_eq!(odd.moments(), [(2.0, 1.0), (7.0, 0.0)]);
    odd.standardize(&[(2.0, 1.0), (7.0, 0.0)]);
    assert_eq!((&odd.series[1][..], odd.series[0][1]), (&[1.0, 0.0][..], 0.0));
}

#[test]
fn a_batch_is_padded_behind() {
    let padded = pad(&[vec![1.0, 2.0], vec![3.0, 4.0, 5.0, 6.0], vec![]], 2);
    assert_eq!((padded.shape, &padded.lengths[..]), ([3, 2, 2], &[1, 2, 0][..]));
    assert_eq!(padded.values, [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(pad::<Vec<f32>>(&[], 3).shape, [0, 0, 3]);
    let loader = Loader::new(Arc::new(vowels(Split::Train)), 7, 0);
    let batch = loader.epoch(0, 0).next().unwrap().unwrap();
    let padded = pad(&batch.iter().map(|e| &e.values[..]).collect::<Vec<_>>(), 12);
    assert_eq!((padded.shape[0], padded.shape[1]), (7, *padded.lengths.iter().max().unwrap()));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let classes = || vec!["a".to_string()];
    for (channels, series, labels, says) in [
        (0, vec![vec![]], vec![0], "a channel at least"),
        (1, vec![vec![1.0]], vec![], "one label each"),
        (2, vec![vec![1.0; 2], vec![1.0; 3]], vec![0, 0], "series 1 has 3 values"),
        (1, vec![vec![]], vec![0], "series 0 has 0 values"),
        (1, vec![vec![1.0]], vec![1], "series 0 has label 1"),
    ] {
        let error = SeriesSet::new(channels, series, labels, classes()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_folder_may_hold_the_series() {
    let folder = tempfile::tempdir().unwrap();
    let found = resolve(&JAPANESE_VOWELS, Some(folder.path())).unwrap();
    let error = found.load_series(Split::Train).unwrap_err().to_string();
    assert!(error.contains("JapaneseVowels_TRAIN.ts is missing"), "{error}");
    std::fs::write(folder.path().join("JapaneseVowels_TRAIN.ts"), "@classLabel true 1\n@data\n1:2:1\n").unwrap();
    assert_eq!(found.load_series(Split::Train).unwrap().series, [[1.0, 2.0]]);
}

#[test]
fn buckets_leave_little_to_pad() {
    let train = vowels(Split::Train);
    let lengths: Vec<usize> = (0..train.len()).map(|i| train.steps(i)).collect();
    let padding = |order: &[usize]| -> usize {
        order
            .chunks(16)
            .map(|batch| batch.iter().map(|&i| lengths[i]).max().unwrap() * batch.len() - batch.iter().map(|&i| lengths[i]).sum::<usize>())
            .sum()
    };
    let plain = Loader::new(Arc::new(train.clone()), 16, 5);
    let buckets = Loader::new(Arc::new(train.clone()), 16, 5).with_buckets(lengths.clone());
    let orders: Vec<Vec<usize>> = (0..3).map(|epoch| buckets.order(epoch)).collect();
    for (epoch, order) in (0..).zip(&orders) {
        assert!(padding(order) * 4 < padding(&plain.order(epoch)), "{} of {}", padding(order), padding(&plain.order(epoch)));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..270).collect::<Vec<_>>(), "every series once");
        assert_eq!(order, &buckets.order(epoch));
    }
    assert_ne!(orders[0], orders[1]);
    let longest = |order: &[usize]| order.chunks(16).map(|batch| batch.iter().map(|&i| lengths[i]).max().unwrap()).collect::<Vec<_>>();
    let found = longest(&orders[0]);
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_ne!(found, sorted, "batches do not grow over an epoch");
    let batch = buckets.epoch(1, 3).next().unwrap().unwrap();
    assert_eq!(batch.iter().map(|e| e.index).collect::<Vec<_>>(), orders[1][48..64]);
}
