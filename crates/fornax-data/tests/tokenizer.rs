//! Tokenizers: what is learned, that it comes back from files and from numbers, and that bad files are told.

use fornax_data::{MULTI30K, Split, Tokenizer, TokenizerKind, resolve};
use proptest::prelude::*;
use std::{path::Path, sync::OnceLock};

const ALL: [TokenizerKind; 5] =
    [TokenizerKind::Bpe, TokenizerKind::ByteBpe, TokenizerKind::WordPiece, TokenizerKind::Unigram, TokenizerKind::Characters];

const TEXT: &str = "Two young, White males are outside near many bushes.
Several men in hard hats are operating a giant pulley system.
A little girl climbing into a wooden playhouse.
A man in a blue shirt is standing on a ladder cleaning a window.
Two men are at the stove preparing food.
Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.
Mehrere Männer mit Schutzhelmen bedienen ein Antriebsradsystem.
Ein kleines Mädchen klettert in ein Spielhaus aus Holz.
Ein Mann in einem blauen Hemd steht auf einer Leiter und putzt ein Fenster.
Zwei Männer stehen am Herd und bereiten Essen zu.";

fn learned(kind: TokenizerKind) -> Tokenizer {
    Tokenizer::train(kind, 400, TEXT.lines()).unwrap()
}

fn error<T>(result: Result<T, fornax_data::DataError>) -> String {
    let error = result.err().expect("an error").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// The example of Sennrich, Haddow and Birch: low 5, lower 2, newest 6, widest 3 times.
#[test]
fn the_most_frequent_pairs_are_joined() {
    let words = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)];
    let lines = || words.iter().flat_map(|&(word, count)| std::iter::repeat_n(word, count));
    let tokenizer = Tokenizer::train(TokenizerKind::ByteBpe, 260, lines()).unwrap();
    assert_eq!(tokenizer.pieces()[256..], ["es", "est", "lo", "low"]);
    let pieces = |text: &str| tokenizer.encode(text).unwrap().iter().map(|&n| tokenizer.pieces()[n as usize].clone()).collect::<Vec<_>>();
    assert_eq!(pieces("lowest"), ["low", "est"]);
    assert_eq!(pieces("ö low"), ["Ã", "¶", "Ġ", "low"], "bytes have characters of their own, as in GPT-2");
}

#[test]
fn texts_come_back_and_what_is_unknown_is_marked() {
    for kind in ALL {
        let tokenizer = learned(kind);
        assert!(tokenizer.pieces().len() <= 400, "{kind:?}");
        for line in TEXT.lines() {
            let numbers = tokenizer.encode(line).unwrap();
            assert!(numbers.len() < line.chars().count() || kind == TokenizerKind::Characters, "{kind:?}: {} pieces of {line}", numbers.len());
            let spaced = line.replace(',', " ,").replace('.', " .");
            let want = if kind == TokenizerKind::WordPiece { &spaced } else { line };
            assert_eq!(tokenizer.decode(&numbers).unwrap(), want, "{kind:?}");
        }
        assert_eq!((tokenizer.encode("").unwrap(), tokenizer.decode(&[]).unwrap()), (vec![], String::new()), "{kind:?}");
        let unknown = tokenizer.decode(&tokenizer.encode("a 猫").unwrap()).unwrap();
        let want = match kind {
            TokenizerKind::ByteBpe => "a 猫",
            TokenizerKind::WordPiece => "a [UNK]",
            _ => "a <unk>",
        };
        assert_eq!(unknown, want, "{kind:?}");
        assert!(error(tokenizer.decode(&[1, 400])).contains("piece 400 is none"));
    }
}

#[test]
fn the_same_text_gives_the_same_file_and_the_file_the_same_tokenizer() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tokenizer.json");
    for kind in ALL {
        let tokenizer = learned(kind);
        let json = tokenizer.to_json().unwrap();
        for _ in 0..3 {
            assert_eq!(learned(kind).to_json().unwrap(), json, "{kind:?}");
        }
        std::fs::write(&path, &json).unwrap();
        let read = Tokenizer::read(&path).unwrap();
        assert_eq!((read.pieces(), read.to_json().unwrap()), (tokenizer.pieces(), json), "{kind:?}");
        assert!(TEXT.lines().all(|line| read.encode(line).unwrap() == tokenizer.encode(line).unwrap()), "{kind:?}");
    }
}

#[test]
fn numbers_of_pieces_that_cannot_be_are_told() {
    for kind in [TokenizerKind::Bpe, TokenizerKind::ByteBpe, TokenizerKind::WordPiece, TokenizerKind::Unigram] {
        assert!(error(Tokenizer::train(kind, 10, TEXT.lines())).contains("a number of pieces from"), "{kind:?}");
        assert!(error(Tokenizer::train(kind, 2_000_000, TEXT.lines())).contains("to 1000000 is possible, not 2000000"), "{kind:?}");
    }
    for kind in ALL {
        assert!(error(Tokenizer::train(kind, 400, ["", ""])).contains("it has no character"));
    }
}

#[test]
fn gpt2s_files_are_read() {
    let place = tempfile::tempdir().unwrap();
    let [vocabulary, merges] = ["vocab.json", "merges.txt"].map(|name| place.path().join(name));
    let write = |v: &str, m: &str| {
        std::fs::write(&vocabulary, v).unwrap();
        std::fs::write(&merges, m).unwrap();
        Tokenizer::read_gpt2(&vocabulary, &merges)
    };
    let pieces = r#"{"l": 0, "o": 1, "w": 2, "Ġ": 3, "lo": 4, "Ġlo": 5, "Ġlow": 6}"#;
    let tokenizer = write(pieces, "#version: 0.2\nl o\nĠ lo\nĠlo w\n").unwrap();
    assert_eq!(tokenizer.encode("low low").unwrap(), [4, 2, 6]);
    assert_eq!(tokenizer.decode(&[4, 2, 6, 1]).unwrap(), "low lowo");
    assert!(error(write("[1]", "l o\n")).contains("no JSON object of pieces"));
    assert!(error(write(pieces, "l o\nlow\n")).contains("line 2 is no pair of pieces"));
    assert!(error(write(pieces, "lo w\n")).contains("pair 1 of those that are joined is none, or gives no piece"));
    assert!(error(Tokenizer::read_gpt2(&vocabulary, Path::new("/nowhere"))).contains("/nowhere"));
}

#[test]
fn damaged_and_foreign_files_are_told() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tokenizer.json");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Tokenizer::read(&path)
    };
    let told = |bytes: &[u8], says: &str| {
        let error = error(read(bytes));
        assert!(error.starts_with("not a readable tokenizer file: ") && error.contains(says) && error.contains("tokenizer.json"), "{error}");
    };
    told(b"", "it is no JSON");
    told(b"\xFF\xFE", "it is no JSON");
    told(b"{\"name\": \"a file of another kind\"}\n", "it has no `model`");
    told(b"{\"name\": 1}\n{\"name\": 2}\n", "it is no JSON");
    let bpe = |pieces: &str, merges: &str, more: &str| format!(r#"{{"model": {{"type": "BPE", "vocab": {pieces}, "merges": {merges}{more}}}}}"#);
    assert!(read(bpe(r#"{"a": 0, "b": 1, "ab": 2}"#, r#"["a b"]"#, "").as_bytes()).is_ok());
    told(bpe(r#"{"a": 0, "b": 2}"#, "[]", "").as_bytes(), "not numbered from 0 without a gap: 1 is missing");
    told(bpe(r#"{"a": 0, "b": 0}"#, "[]", "").as_bytes(), "1 is missing, or twice there");
    told(bpe("{}", "[]", "").as_bytes(), "it has no piece");
    told(bpe(r#"{"a": 0, "b": 4294967295}"#, "[]", "").as_bytes(), "1 is missing");
    told(bpe(r#"{"a": 0, "b": 1}"#, r#"["a b"]"#, "").as_bytes(), "pair 1 of those that are joined");
    told(bpe(r#"{"a": 0, "b": 1, "ab": 2}"#, r#"[["a", "b"]]"#, r###", "continuing_subword_prefix": "##""###).as_bytes(), "pair 1");
    told(bpe(r#"{"a": 0}"#, "[]", r#", "dropout": 7.0"#).as_bytes(), "ropout");
    assert!(error(Tokenizer::read(Path::new("/nowhere/tokenizer.json"))).contains("/nowhere"));

    // What is cut or flipped is told, or still a tokenizer.
    for kind in ALL {
        let whole = learned(kind).to_json().unwrap().into_bytes();
        for at in (0..whole.len()).step_by(whole.len() / 60) {
            told(&whole[..at], "");
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 7);
            if let Ok(tokenizer) = read(&flipped) {
                // Text that it cannot take apart is an error, and never a panic.
                let _ = tokenizer.encode(TEXT).and_then(|numbers| tokenizer.decode(&numbers));
            }
        }
    }
}

/// Needs the published files: FORNAX_DATA names the folder that holds `multi30k`.
#[test]
fn thousands_of_pieces_are_the_same_each_time() {
    if !std::env::var_os("FORNAX_DATA").is_some_and(|root| Path::new(&root).join("multi30k").is_dir()) {
        eprintln!("skipped: FORNAX_DATA names no folder with `multi30k` in it");
        return;
    }
    let train = resolve(&MULTI30K, None).unwrap().load_translations(Split::Train).unwrap();
    let learn = || Tokenizer::train(TokenizerKind::ByteBpe, 6000, train.lines()).unwrap();
    let first = learn();
    assert_eq!(first.pieces().len(), 6000);
    for _ in 0..2 {
        assert_eq!(learn().to_json().unwrap(), first.to_json().unwrap());
    }
    let pieces = |lines: &mut dyn Iterator<Item = &String>| lines.map(|line| first.encode(line).unwrap().len()).sum::<usize>() as f64 / 29_000.0;
    let means = [pieces(&mut train.sources.iter()), pieces(&mut train.targets.iter().flatten())];
    assert!(means.iter().all(|mean| (12.0..20.0).contains(mean)), "{means:?} pieces a sentence");
}

fn byte_level() -> &'static Tokenizer {
    static LEARNED: OnceLock<Tokenizer> = OnceLock::new();
    LEARNED.get_or_init(|| learned(TokenizerKind::ByteBpe))
}

fn characters() -> &'static Tokenizer {
    static LEARNED: OnceLock<Tokenizer> = OnceLock::new();
    LEARNED.get_or_init(|| learned(TokenizerKind::Characters))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn byte_level_pieces_give_back_every_text(text in any::<String>(), words in prop::collection::vec("[ \\t\\n'a-eäß.]{0,8}", 0..6)) {
        for text in [text, words.concat()] {
            prop_assert_eq!(byte_level().decode(&byte_level().encode(&text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn characters_give_back_every_text_of_theirs(picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80)) {
        let known: Vec<&String> = characters().pieces()[1..].iter().collect();
        let text: String = picks.iter().map(|pick| pick.get(&known).as_str()).collect();
        let numbers = characters().encode(&text).unwrap();
        prop_assert_eq!(numbers.len(), picks.len());
        prop_assert_eq!(characters().decode(&numbers).unwrap(), text);
    }

    #[test]
    fn no_text_makes_any_tokenizer_fail(text in any::<String>()) {
        static LEARNED: OnceLock<Vec<Tokenizer>> = OnceLock::new();
        for tokenizer in LEARNED.get_or_init(|| ALL.map(learned).to_vec()) {
            let numbers = tokenizer.encode(&text).unwrap();
            prop_assert!(tokenizer.decode(&numbers).is_ok());
        }
    }
}
