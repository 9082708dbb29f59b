"""Builds data/movie-sentences: the sentences of film reviews in the PyPI package `vaderSentiment` 3.3.2, with a label each, as one gzipped text.

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2 && tar xzf vaderSentiment-3.3.2.tar.gz
    tar xzf vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz
    python3 reference/movie_sentences.py vaderSentiment-3.3.2 hutto_ICWSM_2014 data/movie-sentences

Plain Python 3, no network. Of each sentence the package has the mean of twenty people's ratings from -4 to 4: above 0 is `positive`, below it `negative`,
and the few of exactly 0 are left out. The same package and zlib give the same bytes.
"""

import gzip
import sys
from pathlib import Path


def main() -> None:
    package, data, out = map(Path, sys.argv[1:4])
    lines, left_out = [], 0
    for line in (data / "movieReviewSnippets_GroundTruth.txt").read_text(encoding="utf-8").splitlines():
        _, mean, sentence = line.split("\t")
        if float(mean) == 0:
            left_out += 1
            continue
        lines.append(f"{'positive' if float(mean) > 0 else 'negative'} {' '.join(sentence.split())}\n")
    out.mkdir(parents=True, exist_ok=True)
    (out / "LICENSE").write_bytes((package / "LICENSE.txt").read_bytes())
    (out / "sentences.txt.gz").write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
    positive = sum(line.startswith("positive") for line in lines)
    print(f"{len(lines):,} sentences, {positive:,} positive; {left_out} of no sign left out")


if __name__ == "__main__":
    main()
