use super::{Content, DataSet, Readers, RemoteFile};
use crate::{DataError, Split, read::Source};
use std::path::Path;

/// A million characters of Shakespeare's plays in one file, `input.txt`; the last tenth validates, as in nanoGPT.
///
/// Source: Karpathy, "The unreasonable effectiveness of recurrent neural networks", 2015.
pub const TINY_SHAKESPEARE: DataSet = DataSet {
    name: "tiny-shakespeare",
    title: "tiny Shakespeare",
    about: "characters of Shakespeare's plays: 1,003,854 train, 111,540 valid",
    licence: "public-domain text",
    size: 1_115_394,
    files: &[RemoteFile {
        name: "input.txt",
        url: "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        bytes: 1_115_394,
        sha256: SHA256,
        content_bytes: 1_115_394,
        content_sha256: SHA256,
    }],
    home: "https://github.com/karpathy/char-rnn",
    embedded: Some("the 5,052,231 characters of his works that come with Fornax (the last tenth validates)"),
    content: Content::Text(Readers { folder, embedded: Some(embedded) }),
};

const SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";
const WORKS: &[u8] = include_bytes!("../../data/shakespeare/shakespeare.txt.gz");

fn folder(folder: &Path, split: Split) -> Result<String, DataError> {
    let path = folder.join("input.txt");
    if !path.is_file() {
        let fix = "`fornax data fetch tiny-shakespeare` downloads it, or give the folder that has it with --data DIR";
        return Err(DataError::Missing { what: "input.txt".into(), fix: fix.into(), folder: folder.into() });
    }
    part(&text(Source::open(KIND, &path, false)?)?, split)
}

fn embedded(split: Split) -> Result<String, DataError> {
    part(&text(Source::bytes(KIND, Path::new("shakespeare.txt.gz"), WORKS, true)?)?, split)
}

const KIND: &str = "text";

fn text(mut source: Source) -> Result<String, DataError> {
    let text =
        String::from_utf8(source.rest()?).map_err(|e| source.damaged(format!("it is not UTF-8 from byte {} on", e.utf8_error().valid_up_to())))?;
    if text.is_empty() { Err(source.damaged("it is empty")) } else { Ok(text) }
}

/// The first nine tenths of the characters, or the last.
fn part(text: &str, split: Split) -> Result<String, DataError> {
    let nine_tenths = text.chars().count() * 9 / 10;
    match split {
        Split::Train => Ok(text.chars().take(nine_tenths).collect()),
        Split::Valid => Ok(text.chars().skip(nine_tenths).collect()),
        Split::Test => {
            Err(DataError::NoSplit { source_name: "tiny Shakespeare".into(), split, fix: "its last tenth validates: --split valid".into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_those_of_nano_gpt_and_bad_files_are_told() {
        let place = tempfile::tempdir().unwrap();
        let read = |split| folder(place.path(), split).map_err(|error| error.to_string());
        assert!(read(Split::Train).unwrap_err().starts_with("input.txt is missing; `fornax data fetch tiny-shakespeare`"));
        let write = |bytes: &[u8]| std::fs::write(place.path().join("input.txt"), bytes).unwrap();
        write("Ünser Text ab".as_bytes());
        assert_eq!([Split::Train, Split::Valid].map(|split| read(split).unwrap()), ["Ünser Text ", "ab"]);
        assert!(read(Split::Test).unwrap_err().contains("no test split"));
        write(&[b'a', 0xFF]);
        assert!(read(Split::Train).unwrap_err().contains("not UTF-8 from byte 1 on"));
        write(&[]);
        assert!(read(Split::Train).unwrap_err().contains("it is empty"));
    }

    #[test]
    fn the_embedded_works_are_all_there() {
        let [train, valid] = [Split::Train, Split::Valid].map(|split| embedded(split).unwrap());
        assert_eq!((train.len(), valid.len()), (4_547_007, 505_224));
        assert!(train.contains("To be, or not to be") && valid.contains("Romeo"));
    }
}
