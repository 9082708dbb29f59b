"""Corpus BLEU by sacreBLEU, of sentences made of words, numbers and signs that its tokenizer treats in their own ways."""

import random

import sacrebleu
from fixture import write as write_fixture

WORDS = """The the a dog Dog runs. runs, (fast) "now" 3.14 1,000 2-3 well-known it's U.S. e.g. don't &amp; &quot;so&quot; a/b x=y 5% $9.50 end! end? ... . , - -- 7. ,5
[1] {x} snow-covered Straße naïve 日本 e-mail: C++ #1 @home 10- 3.a b.4 A&B ~ ` ^ |""".split()


def sentence(random, length):
    return " ".join(random.choice(WORDS) for _ in range(length))


def near(random, words):
    """Some words left out, some replaced."""
    kept = [random.choice(WORDS) if random.random() < 0.15 else word for word in words.split() if random.random() > 0.1]
    return " ".join(kept)


def corpus(seed, count, references, longest):
    r = random.Random(seed)
    first = [sentence(r, r.randint(1, longest)) for _ in range(count)]
    rest = [[near(r, s) for s in first] for _ in range(references - 1)]
    return [near(r, s) for s in first], [first, *rest]


def case(name, translations, references, **options):
    score = sacrebleu.corpus_bleu(translations, references, **options)
    return dict(name=name, lowercase=options.get("lowercase", False), spaces=options.get("tokenize") == "none", translations=translations,
                references=[list(of) for of in zip(*references)], matches=score.counts, totals=score.totals, words=score.sys_len,
                reference_words=score.ref_len, brevity_penalty=score.bp, score=score.score)


def write():
    write_fixture("fornax-trainer", "bleu", [
        case("one reference", *corpus(1, 12, 1, 20)),
        case("three references", *corpus(2, 8, 3, 15)),
        case("small letters", *corpus(3, 8, 1, 15), lowercase=True),
        case("words apart", *corpus(4, 8, 2, 15), lowercase=True, tokenize="none"),
        case("no long match", ["the dog runs on", "a b"], [["a dog sits by", "b a"]]),
        case("too short for four", ["a dog"], [["a dog"]]),
        case("nothing said", ["", ""], [["a dog", "a cat sits here"]]),
        case("longer than the reference", ["the the the the the the the"], [["the cat is on the mat"]]),
    ])
