//! The `.ts` format of the UEA and UCR archives: labelled series, one a line.
//!
//! A header of `@name value` lines and `#` comments ends with `@data`. Then each line is a case: dimensions apart by `:`, the values of a dimension by
//! `,`, and the class last. `?` is a missing value, NaN here.
//!
//! Source: Bagnall et al., "The UEA multivariate time series classification archive", 2018; sktime's reader.

use crate::{DataError, SeriesSet, read::Source};
use std::path::Path;

const KIND: &str = "time series";

/// Reads a `.ts` file, plain or gzip.
///
/// # Errors
/// [`DataError`] with the line for a header without `@data` or class labels, time stamps, dimensions of different lengths, other numbers of dimensions
/// than promised, text where a number should be, and classes that the header does not name.
pub fn read(path: &Path) -> Result<SeriesSet, DataError> {
    parse(Source::open(KIND, path, true)?, path)
}

/// The same from memory; `name` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<SeriesSet, DataError> {
    parse(Source::bytes(KIND, name, bytes, true)?, name)
}

/// What the header says.
#[derive(Debug, Default)]
struct Header {
    dimensions: Option<usize>,
    classes: Vec<String>,
}

fn parse(mut source: Source, path: &Path) -> Result<SeriesSet, DataError> {
    let text = String::from_utf8(source.rest()?).map_err(|_| DataError::damaged(KIND, path, "it is not text in UTF-8"))?;
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let wrong = |line: usize, why: String| DataError::damaged(KIND, path, format!("line {line}: {why}"));
    let mut header = Header::default();
    loop {
        let Some((at, line)) = lines.next() else { return Err(DataError::damaged(KIND, path, "its header does not end with @data")) };
        if line.eq_ignore_ascii_case("@data") {
            break;
        }
        header.take(line).map_err(|why| wrong(at, why))?;
    }
    if header.classes.is_empty() {
        return Err(DataError::damaged(KIND, path, "its header names no classes (`@classLabel true A B …`)"));
    }
    let (mut series, mut labels) = (vec![], vec![]);
    for (at, line) in lines {
        let (values, label) = case(line, &mut header).map_err(|why| wrong(at, why))?;
        series.push(values);
        labels.push(label);
    }
    SeriesSet::new(header.dimensions.unwrap_or(1), series, labels, header.classes).map_err(|error| DataError::damaged(KIND, path, error.to_string()))
}

impl Header {
    fn take(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default().to_ascii_lowercase();
        let mut value = || words.next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "@univariate" if value() == "true" => self.dimensions = Some(1),
            "@dimensions" | "@dimension" => {
                let count = value();
                self.dimensions = Some(count.parse().ok().filter(|n| *n > 0).ok_or(format!("`{count}` is no number of dimensions"))?);
            }
            "@classlabel" if value() == "true" => self.classes = words.map(String::from).collect(),
            "@timestamps" if value() == "true" => return Err("series with time stamps are not read".into()),
            _ if name.starts_with('@') => {}
            _ => return Err("neither `@name value` nor `#`, before @data".into()),
        }
        Ok(())
    }
}

/// `[T, D]` and the class of a line. The first one tells the number of dimensions if the header does not.
fn case(line: &str, header: &mut Header) -> Result<(Vec<f32>, u32), String> {
    let (values, class) = line.rsplit_once(':').ok_or("a case without `:`")?;
    let label =
        header.classes.iter().position(|known| known == class.trim()).ok_or_else(|| format!("class `{}` is not in the header", class.trim()))?;
    let dimensions: Vec<Vec<f32>> = values.split(':').map(|d| d.split(',').map(number).collect()).collect::<Result<_, _>>()?;
    let wanted = *header.dimensions.get_or_insert(dimensions.len());
    if dimensions.len() != wanted {
        return Err(format!("{} dimensions instead of {wanted}", dimensions.len()));
    }
    let steps = dimensions[0].len();
    if let Some(other) = dimensions.iter().map(Vec::len).find(|len| *len != steps) {
        return Err(format!("dimensions of {steps} and {other} steps in one case"));
    }
    let values = (0..steps).flat_map(|t| dimensions.iter().map(move |d| d[t])).collect();
    Ok((values, label as u32))
}

fn number(text: &str) -> Result<f32, String> {
    let text = text.trim();
    if text == "?" {
        return Ok(f32::NAN);
    }
    text.parse().ok().filter(|x: &f32| x.is_finite() || text.eq_ignore_ascii_case("nan")).ok_or_else(|| format!("`{text}` is no number"))
}
