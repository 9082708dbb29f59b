"""Builds data/electricity: the half-hourly demand of the PyPI package `pmdarima` 2.1.1 as one column of text, gzipped.

    pip download pmdarima==2.1.1 --no-deps && unzip pmdarima-*.whl
    python3 reference/electricity.py pmdarima/datasets/taylor.py data/electricity

Plain Python 3, no network; the package's file is read as text, not run. The same package and zlib give the same bytes.
"""

import gzip
import re
import sys
from pathlib import Path


def main() -> None:
    source, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    # The numbers of the array, not those of the documentation's example before it.
    array = source.read_text().split("rslt = np.array([", 1)[1].split("])", 1)[0]
    values = re.findall(r"\d+", array)
    assert len(values) == 12 * 7 * 48, len(values)
    content = "megawatts\n" + "".join(f"{value}\n" for value in values)
    # No file name and no time in the header, so that the bytes depend on the content alone.
    with open(out / "demand.csv.gz", "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(content.encode())


if __name__ == "__main__":
    main()
