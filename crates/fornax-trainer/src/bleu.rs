use std::collections::HashMap;

/// The longest n-grams that count.
const ORDER: usize = 4;

/// How sentences become words before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BleuTokens {
    /// As NIST's `mteval-v13a` does: punctuation apart from words. For text as people write it.
    #[default]
    Mteval13a,
    /// At white space alone: for text whose words are apart already.
    Spaces,
}

/// How [`Bleu`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BleuConfig {
    /// What a word is.
    pub tokens: BleuTokens,
    /// Small letters and capital ones are the same.
    pub lowercase: bool,
}

impl BleuConfig {
    /// What sacreBLEU calls this, so that two scores can be told to mean the same.
    pub fn signature(&self, references: usize) -> String {
        let case = if self.lowercase { "lc" } else { "mixed" };
        let tokens = if self.tokens == BleuTokens::Mteval13a { "13a" } else { "none" };
        format!("nrefs:{references}|case:{case}|eff:no|tok:{tokens}|smooth:exp")
    }
}

/// Corpus BLEU, as sacreBLEU counts it: how many of a translation's n-grams, up to four words long, are also in a reference.
///
/// `BLEU = BP (p₁ p₂ p₃ p₄)^¼` in percent, with `pₙ` the share of n-grams that a reference has at least as often, and `BP = exp(1 − r/c)` where the `c` words
/// of all translations are fewer than the `r` of the references that are nearest in length. Of an order without a match the share is `1/2` of one n-gram, of
/// the next such order `1/4`, and so on.
///
/// Source: Papineni et al., "BLEU", 2002; Post, "A call for clarity in reporting BLEU scores", 2018; smoothing: Chen and Cherry, 2014, method 3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bleu {
    config: BleuConfig,
    /// n-grams that a reference has too, of one to four words.
    pub matches: [usize; ORDER],
    /// n-grams.
    pub totals: [usize; ORDER],
    /// Words of the translations.
    pub words: usize,
    /// Words of the references that are nearest in length.
    pub reference_words: usize,
}

impl Bleu {
    /// Of no sentence yet.
    pub fn new(config: BleuConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Counts one sentence beside its references.
    ///
    /// # Panics
    /// If there is no reference.
    pub fn add<T: AsRef<str>>(&mut self, translation: &str, references: &[T]) {
        let words = self.config.words(translation);
        let references: Vec<Vec<String>> = references.iter().map(|reference| self.config.words(reference.as_ref())).collect();
        let nearest = references.iter().map(Vec::len).min_by_key(|&length| (length.abs_diff(words.len()), length));
        self.words += words.len();
        self.reference_words += nearest.expect("at least one reference");
        for order in 1..=ORDER {
            let mut most: HashMap<&[String], usize> = HashMap::new();
            for reference in &references {
                for (gram, count) in counts(reference, order) {
                    let kept = most.entry(gram).or_default();
                    *kept = count.max(*kept);
                }
            }
            for (gram, count) in counts(&words, order) {
                self.matches[order - 1] += count.min(most.get(gram).copied().unwrap_or(0));
                self.totals[order - 1] += count;
            }
        }
    }

    /// `BP`
    pub fn brevity_penalty(&self) -> f64 {
        match self.words {
            0 => 0.0,
            words if words < self.reference_words => (1.0 - self.reference_words as f64 / words as f64).exp(),
            _ => 1.0,
        }
    }

    /// In percent.
    pub fn score(&self) -> f64 {
        if self.matches == [0; ORDER] {
            return 0.0;
        }
        let (mut logarithms, mut halved) = (0.0, 1.0);
        for (&matches, &total) in self.matches.iter().zip(&self.totals) {
            if total == 0 {
                return 0.0;
            }
            let share = if matches > 0 {
                matches as f64 / total as f64
            } else {
                halved *= 2.0;
                1.0 / (halved * total as f64)
            };
            logarithms += share.ln();
        }
        100.0 * self.brevity_penalty() * (logarithms / ORDER as f64).exp()
    }
}

fn counts(words: &[String], order: usize) -> HashMap<&[String], usize> {
    let mut all = HashMap::new();
    for gram in words.windows(order) {
        *all.entry(gram).or_default() += 1;
    }
    all
}

impl BleuConfig {
    /// The words of a sentence.
    fn words(&self, sentence: &str) -> Vec<String> {
        let sentence = sentence.trim_end();
        let sentence = if self.lowercase { sentence.to_lowercase() } else { sentence.into() };
        match self.tokens {
            BleuTokens::Spaces => sentence.split_whitespace().map(String::from).collect(),
            BleuTokens::Mteval13a => mteval(&sentence).split_whitespace().map(String::from).collect(),
        }
    }
}

/// Spaces around punctuation, but not within numbers.
fn mteval(sentence: &str) -> String {
    let mut text = sentence.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    }
    let mut apart = String::from(" ");
    for c in text.chars() {
        let punctuation = matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/');
        if punctuation { apart.extend([' ', c, ' ']) } else { apart.push(c) }
    }
    apart.push(' ');
    let digit = |c: char| c.is_ascii_digit();
    let point = |c: char| c == '.' || c == ',';
    // A full stop or comma that does not follow a digit; one that no digit follows; a dash behind a digit.
    let apart = in_pairs(&apart, |a, b| !digit(a) && point(b), |a, b| [a, ' ', b, ' ']);
    let apart = in_pairs(&apart, |a, b| point(a) && !digit(b), |a, b| [' ', a, ' ', b]);
    in_pairs(&apart, |a, b| digit(a) && b == '-', |a, b| [a, ' ', b, ' '])
}

/// Replaces neighbours from left to right, none of them twice.
fn in_pairs(text: &str, is: impl Fn(char, char) -> bool, becomes: impl Fn(char, char) -> [char; 4]) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (String::with_capacity(text.len() + 8), 0);
    while at < chars.len() {
        match chars.get(at + 1) {
            Some(&next) if is(chars[at], next) => {
                out.extend(becomes(chars[at], next));
                at += 2;
            }
            _ => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}
