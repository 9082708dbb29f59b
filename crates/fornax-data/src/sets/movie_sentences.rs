use super::{Content, DataSet};
use crate::{DataError, SentenceSet, sentences};

/// Sentences of film reviews, positive or negative by the mean of twenty people's ratings.
///
/// Nearly all are sentences of MR (Pang and Lee, 2005), which people test on: [`SentenceSet::part`] puts those of both in the same folds.
///
/// Source: Hutto and Gilbert, "VADER: a parsimonious rule-based model for sentiment analysis of social media text", 2014.
pub const MOVIE_SENTENCES: DataSet = DataSet {
    name: "movie-sentences",
    title: "the movie sentences",
    about: "10,568 sentences of film reviews, positive or negative, in ten folds",
    licence: "MIT",
    size: 10_568,
    home: "https://github.com/cjhutto/vaderSentiment",
    files: &[],
    embedded: Some("the 10,568 movie sentences that come with Fornax (a fold of ten tests, a tenth of the rest validates)"),
    content: Content::Sentences(Some(embedded)),
};

const SENTENCES: &[u8] = include_bytes!("../../data/movie-sentences/sentences.txt.gz");

/// All of them, in no split.
pub(crate) fn embedded() -> Result<SentenceSet, DataError> {
    sentences::from_bytes("sentences.txt.gz".as_ref(), SENTENCES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;

    #[test]
    fn the_embedded_sentences_are_all_there() {
        let all = embedded().unwrap();
        assert_eq!((all.classes.join(" "), all.count_by_class()), ("negative positive".to_string(), vec![5_326, 5_242]));
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| all.part(0, 10, split));
        assert_eq!(train.len() + valid.len() + test.len(), all.len());
        assert_eq!(train.without(&valid).without(&test).len(), train.len());
    }
}
