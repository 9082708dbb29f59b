//! Numeric tables as text: comma, semicolon or tab between columns, one row a line.

use crate::{DataError, read::MOST_BYTES};
use std::path::Path;

/// A table of finite numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The header's names, or `0`, `1`, … where the file has no header.
    pub columns: Vec<String>,
    /// `[rows, columns]`, row-major.
    pub values: Vec<f64>,
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns.len()).unwrap_or(0)
    }

    /// One row.
    ///
    /// # Panics
    /// If `row` is not below [`rows`](Self::rows).
    pub fn row(&self, row: usize) -> &[f64] {
        let width = self.columns.len();
        &self.values[row * width..(row + 1) * width]
    }

    /// One column by its name.
    ///
    /// # Errors
    /// [`DataError::Invalid`] that lists the names there are.
    pub fn column(&self, name: &str) -> Result<Vec<f64>, DataError> {
        let at = self.columns.iter().position(|column| column == name);
        let at = at.ok_or_else(|| DataError::Invalid(format!("the table has no column `{name}`, only {}", self.columns.join(", "))))?;
        Ok((0..self.rows()).map(|row| self.row(row)[at]).collect())
    }
}

/// A table from a file, at most 1 GiB.
///
/// The separator is the one of `,`, `;` and tab that the first line has most of. The first line is a header if any of its cells is
/// not a number. Lines that start with `#` are comments.
///
/// # Errors
/// [`DataError`] naming line and column of a cell that is not a finite number, or a row of another length.
pub fn read(path: &Path) -> Result<Table, DataError> {
    let meta = std::fs::metadata(path).map_err(DataError::io("open", path))?;
    if meta.len() > MOST_BYTES {
        return Err(DataError::damaged("CSV", path, format!("it has {} bytes, more than the {MOST_BYTES} that are accepted", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(DataError::io("read", path))?;
    from_bytes(path, &bytes)
}

/// A table in memory; `name` is for errors.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<Table, DataError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let bad = |why: String| DataError::damaged("CSV", name, why);
    let mut reader =
        ::csv::ReaderBuilder::new().has_headers(false).delimiter(separator(bytes)).comment(Some(b'#')).trim(::csv::Trim::All).from_reader(bytes);
    let mut table = Table { columns: Vec::new(), values: Vec::new() };
    let mut record = ::csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| bad(fault(&error)))? {
        if table.columns.is_empty() {
            table.columns = (0..record.len()).map(|i| i.to_string()).collect();
            if record.iter().any(|cell| cell.parse::<f64>().is_err()) {
                table.columns = record.iter().map(String::from).collect();
                continue;
            }
        }
        for (column, cell) in table.columns.iter().zip(&record) {
            let value = cell.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| {
                let line = record.position().map_or(0, ::csv::Position::line);
                let short: String = cell.chars().take(40).collect();
                bad(format!("line {line}, column {column:?}: {short:?} is not a finite number"))
            })?;
            table.values.push(value);
        }
    }
    if table.values.is_empty() {
        return Err(bad("it has no rows of numbers".into()));
    }
    Ok(table)
}

/// What the `csv` crate found wrong, on one line.
fn fault(error: &::csv::Error) -> String {
    match error.kind() {
        ::csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            format!("line {} has {len} cells, the first has {expected_len}", pos.as_ref().map_or(0, ::csv::Position::line))
        }
        ::csv::ErrorKind::Utf8 { pos, .. } => format!("line {} is not UTF-8", pos.as_ref().map_or(0, ::csv::Position::line)),
        _ => error.to_string().replace('\n', " "),
    }
}

fn separator(bytes: &[u8]) -> u8 {
    let line = bytes.split(|&byte| byte == b'\n').find(|line| !line.is_empty() && line[0] != b'#').unwrap_or(&[]);
    // The first wins a tie: max_by_key takes the last.
    *b"\t;,".iter().max_by_key(|&&mark| line.iter().filter(|&&byte| byte == mark).count()).expect("three marks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table, String> {
        from_bytes("a.csv".as_ref(), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn with_and_without_a_header() {
        let named = table("# iris\nlength, width\n1.5,2\n\n-3e2,4\r\n").unwrap();
        assert_eq!((named.columns.clone(), named.rows()), (vec!["length".into(), "width".into()], 2));
        assert_eq!(named.row(1), [-300.0, 4.0]);
        assert_eq!(named.column("width").unwrap(), [2.0, 4.0]);
        assert!(named.column("height").unwrap_err().to_string().contains("length, width"));
        assert_eq!(table("1,2\n3,4").unwrap().columns, ["0", "1"]);
    }

    #[test]
    fn separators_are_seen() {
        for text in ["1;2.5\n3;4", "1\t2.5\n3\t4", "1,2.5\n3,4", "\u{feff}1,2.5\n3,4"] {
            assert_eq!(table(text).unwrap().values, [1.0, 2.5, 3.0, 4.0], "{text:?}");
        }
        assert_eq!(table("7\n8").unwrap().values, [7.0, 8.0]);
    }

    #[test]
    fn each_fault_has_its_line() {
        for (text, says) in [
            ("", "no rows"),
            ("a,b\n", "no rows"),
            ("a,b\n1,2\n3\n", "line 3 has 1 cells, the first has 2"),
            ("a,b\n1,2\n3,x\n", "line 3, column \"b\": \"x\""),
            ("a,b\n1,\n", "line 2, column \"b\": \"\""),
            ("a,b\n1,nan\n", "not a finite number"),
        ] {
            let line = table(text).unwrap_err();
            assert!(line.contains(says) && line.lines().count() == 1, "`{line}` should say `{says}`");
        }
        assert!(from_bytes("a.csv".as_ref(), b"1,2\n\xff,3\n").unwrap_err().to_string().contains("line 2 is not UTF-8"));
        assert!(read("/nowhere/a.csv".as_ref()).unwrap_err().to_string().starts_with("cannot open"));
    }
}
