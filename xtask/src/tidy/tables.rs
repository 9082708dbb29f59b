//! The numbers in the tables of `README.md` and `README.zh-CN.md` are the same, in the same order.

use super::{File, Finding};

const CHECK: &str = "readme";
const PAIR: [&str; 2] = ["README.md", "README.zh-CN.md"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let texts = PAIR.map(|name| files.iter().find(|file| file.path == name).and_then(|file| file.text.as_deref()));
    match texts {
        [Some(english), Some(chinese)] => compare(english, chinese).into_iter().collect(),
        _ => PAIR.iter().zip(texts).filter(|(_, text)| text.is_none()).map(|(name, _)| Finding::error(CHECK, *name, "is missing")).collect(),
    }
}

/// The first difference.
fn compare(english: &str, chinese: &str) -> Option<Finding> {
    let [ours, theirs] = [english, chinese].map(numbers);
    for pair in ours.iter().zip(&theirs) {
        if pair.0.1 != pair.1.1 {
            let says = format!("its table says {}, where line {} of {} says {}", pair.1.1, pair.0.0, PAIR[0], pair.0.1);
            return Some(Finding::error(CHECK, format!("{}:{}", PAIR[1], pair.1.0), says));
        }
    }
    let (longer, name) = if ours.len() > theirs.len() { (&ours[theirs.len()], PAIR[0]) } else { (theirs.get(ours.len())?, PAIR[1]) };
    let says = format!("{} in a table is in {name} alone: {} numbers against {}", longer.1, ours.len(), theirs.len());
    Some(Finding::error(CHECK, format!("{name}:{}", longer.0), says))
}

/// The numbers of every table row, with their line.
fn numbers(text: &str) -> Vec<(usize, &str)> {
    let rows = (1..).zip(text.lines()).filter(|(_, line)| line.trim_start().starts_with('|'));
    rows.flat_map(|(number, line)| tokens(line).map(move |token| (number, token))).collect()
}

/// `98.97`, `1,199,882`, `0`: digits, with points and commas between them.
fn tokens(line: &str) -> impl Iterator<Item = &str> {
    let parts = line.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
    parts.map(|part| part.trim_matches(['.', ','])).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = "# Fornax 1\n| recipe | accuracy |\n| --- | --- |\n| `mnist-cnn` | 98.97 %, 1,199,882 weights |\n";
    const CHINESE: &str = "# Fornax 二\n\n| 配方 | 准确率 |\n| --- | --- |\n| `mnist-cnn` | 98.97 %，1,199,882 个权重 |\n";

    fn said(english: &str, chinese: &str) -> Vec<String> {
        check(&[File::new("README.md", english), File::new("README.zh-CN.md", chinese)])
            .into_iter()
            .map(|f| format!("{}: {}", f.place, f.says))
            .collect()
    }

    #[test]
    fn equal_numbers_in_other_words_pass() {
        assert_eq!(numbers(ENGLISH), [(4, "98.97"), (4, "1,199,882")]);
        assert!(said(ENGLISH, CHINESE).is_empty());
    }

    #[test]
    fn another_number_a_missing_one_and_a_missing_file_are_found() {
        assert_eq!(
            said(ENGLISH, &CHINESE.replace("98.97", "98.79")),
            ["README.zh-CN.md:5: its table says 98.79, where line 4 of README.md says 98.97"]
        );
        assert!(said(ENGLISH, &CHINESE.replace("1,199,882", "若干"))[0].starts_with("README.md:4: 1,199,882 in a table is in README.md alone"));
        assert!(said(&format!("{CHINESE}| 5 |"), ENGLISH)[0].starts_with("README.md:6: 5 in a table"));
        assert!(said(ENGLISH, &format!("{CHINESE}| 5 |"))[0].starts_with("README.zh-CN.md:6: 5 in a table"));
        let one = check(&[File::new("README.md", ENGLISH)]);
        assert!(one.len() == 1 && one[0].place == "README.zh-CN.md" && one[0].says == "is missing");
    }
}
