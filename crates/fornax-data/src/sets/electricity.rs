use super::{Content, DataSet, Readers};
use crate::{DataError, Signal, Split, csv, read::Source};
use std::path::Path;

/// The electricity that England and Wales took in each half hour from Monday 5 June to Sunday 27 August 2000, in megawatts: ten weeks to learn from, of
/// which the last validates, and two weeks to test.
///
/// Source: Taylor, "Short-term electricity demand forecasting using double seasonal exponential smoothing", 2003.
pub const ELECTRICITY: DataSet = DataSet {
    name: "electricity",
    title: "Electricity demand",
    about: "what England and Wales took in half hours of twelve weeks of 2000, MW: 3,024 train, 336 valid, 672 test",
    licence: "MIT (pmdarima)",
    size: 4032,
    home: "https://doi.org/10.1057/palgrave.jors.2601589",
    files: &[],
    embedded: Some("the electricity demand of England and Wales, which comes with Fornax as a whole (4,032 half hours)"),
    content: Content::Signal(Readers { folder, embedded: Some(embedded) }),
};

const DEMAND: &[u8] = include_bytes!("../../data/electricity/demand.csv.gz");
const NAME: &str = "demand.csv";
/// Half hours.
const DAY: usize = 48;
const WEEK: usize = 7 * DAY;

/// `demand.csv`, plain or `.gz`, with a column `megawatts` of half hours.
fn folder(folder: &Path, split: Split) -> Result<Signal, DataError> {
    let path = [NAME.to_string(), format!("{NAME}.gz")].iter().map(|file| folder.join(file)).find(|path| path.is_file());
    let fix = || "without --data DIR the measurements that come with Fornax are used".into();
    let path = path.ok_or_else(|| DataError::Missing { what: NAME.into(), fix: fix(), folder: folder.into() })?;
    part(&path, Source::open("CSV", &path, true)?.rest()?, split)
}

/// See `data/README.md`.
fn embedded(split: Split) -> Result<Signal, DataError> {
    part(NAME.as_ref(), Source::bytes("CSV", NAME.as_ref(), DEMAND, true)?.rest()?, split)
}

/// The last two weeks test, the one before validates; no split has values behind its own.
fn part(path: &Path, bytes: Vec<u8>, split: Split) -> Result<Signal, DataError> {
    let table = csv::from_bytes(path, &bytes)?;
    let mut values: Vec<f32> = table.column("megawatts")?.into_iter().map(|x| x as f32).collect();
    let (test, valid) = (values.len().saturating_sub(2 * WEEK), values.len().saturating_sub(3 * WEEK));
    if valid < 2 * WEEK {
        let why = format!("it has {} half hours; five weeks are the least: two to learn from, one to validate, two to test", values.len());
        return Err(DataError::damaged("CSV", path, why));
    }
    let (from, end) = match split {
        Split::Train => (0, valid),
        Split::Valid => (valid, test),
        Split::Test => (test, values.len()),
    };
    values.truncate(end);
    Signal::new(values, from, DAY, 7, "MW".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_weeks_are_all_there_and_no_split_sees_what_comes_after_it() {
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| embedded(split).unwrap());
        assert_eq!([&train, &valid, &test].map(|signal| (signal.from, signal.values.len())), [(0, 3024), (3024, 3360), (3360, 4032)]);
        assert!(test.values.starts_with(&valid.values) && valid.values.starts_with(&train.values));
        // The example in the package's documentation.
        assert_eq!(train.values[..10], [22262., 21756., 22247., 22759., 22549., 22313., 22128., 21860., 21751., 21336.]);
        assert_eq!((test.season(), test.naive(3360)), (336, test.values[3024]));
        let naive = (3360..4032).map(|i| f64::from((test.values[i] - test.naive(i)).abs())).sum::<f64>() / 672.0;
        assert!((naive - 514.0).abs() < 1.0, "{naive}");
    }

    #[test]
    fn a_folder_is_read_plain_or_packed_and_a_bad_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(folder(dir.path(), Split::Train).unwrap_err().to_string().contains("demand.csv"));
        std::fs::write(dir.path().join("demand.csv.gz"), DEMAND).unwrap();
        assert_eq!(folder(dir.path(), Split::Test).unwrap(), embedded(Split::Test).unwrap());
        std::fs::write(dir.path().join("demand.csv"), "megawatts\n1\n2\n").unwrap();
        assert!(folder(dir.path(), Split::Train).unwrap_err().to_string().contains("five weeks are the least"));
        std::fs::write(dir.path().join("demand.csv"), "demand\n1\n2\n").unwrap();
        assert!(folder(dir.path(), Split::Train).unwrap_err().to_string().contains("megawatts"));
    }
}
