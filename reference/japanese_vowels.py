"""Builds data/japanese-vowels: the two .ts files of the PyPI package `sktime` 1.2.0, gzipped.

    pip download sktime==1.2.0 --no-deps && unzip sktime-1.2.0-py3-none-any.whl
    python3 reference/japanese_vowels.py sktime/datasets/data/JapaneseVowels data/japanese-vowels

Plain Python 3, no network. The same package and zlib give the same bytes.
"""

import gzip
import sys
from pathlib import Path


def main() -> None:
    package, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    for part in ("TRAIN", "TEST"):
        content = (package / f"JapaneseVowels_{part}.ts").read_bytes()
        # No file name and no time in the header, so that the bytes depend on the content alone.
        with open(out / f"JapaneseVowels_{part}.ts.gz", "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(content)


if __name__ == "__main__":
    main()
