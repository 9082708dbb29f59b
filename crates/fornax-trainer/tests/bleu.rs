//! BLEU: sacreBLEU's counts and scores (`reference/bleu.py`).

use fornax_testkit::reference;
use fornax_trainer::metrics::{Bleu, BleuConfig, BleuTokens};

#[test]
fn counts_and_scores_are_sacrebleus() {
    for case in reference("tests/reference/bleu.json").list("cases") {
        let name = case.text("name");
        let tokens = if case.flag("spaces") { BleuTokens::Spaces } else { BleuTokens::Mteval13a };
        let mut bleu = Bleu::new(BleuConfig { tokens, lowercase: case.flag("lowercase") });
        for (translation, references) in case.list("translations").iter().zip(case.list("references")) {
            let references: Vec<String> = references.items().iter().map(|reference| reference.string()).collect();
            bleu.add(&translation.string(), &references);
        }
        assert_eq!(bleu.matches.to_vec(), case.counts("matches"), "{name}");
        assert_eq!(bleu.totals.to_vec(), case.counts("totals"), "{name}");
        assert_eq!([bleu.words, bleu.reference_words], [case.count("words"), case.count("reference_words")], "{name}");
        assert!((bleu.brevity_penalty() - case.number("brevity_penalty")).abs() < 1e-9, "{name}");
        assert!((bleu.score() - case.number("score")).abs() < 1e-9, "{name}: {} instead of {}", bleu.score(), case.number("score"));
    }
}

#[test]
fn the_signature_says_how() {
    assert_eq!(BleuConfig::default().signature(1), "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp");
    let plain = BleuConfig { tokens: BleuTokens::Spaces, lowercase: true };
    assert_eq!(plain.signature(2), "nrefs:2|case:lc|eff:no|tok:none|smooth:exp");
}
