"""What the generators share: exact inputs, and the JSON that `fornax_testkit::reference` reads."""

import json
import math
from pathlib import Path

import torch

CRATES = Path(__file__).resolve().parent.parent / "crates"

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)


def tensor(*shape: int, scale: float = 1.0) -> torch.Tensor:
    """Multiples of scale/4096 in ±scale without zeros: exact in float32 where `scale` is a power of two."""
    steps = torch.randint(1, 4097, shape) * (torch.randint(0, 2, shape) * 2 - 1)
    return steps.double() * scale / 4096


def leaf(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return tensor(*shape, scale=scale).requires_grad_()


def number(value: float) -> float:
    return float(f"{value:.12g}")


def encode(value):
    """Tensors as {shape, data}; everything else as it is."""
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "data": [number(x) for x in value.detach().flatten().tolist()]}
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def write(crate: str, name: str, cases: list[dict]) -> None:
    path = CRATES / crate / "tests" / "reference" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(encode(case), separators=(",", ":")) for case in cases)
    path.write_text(f'{{"generator":"reference/generate.py, torch {torch.__version__.split("+")[0]}","cases":[\n{lines}\n]}}\n')
    print(f"{path.relative_to(CRATES.parent)}: {len(cases)} cases, {path.stat().st_size:,} bytes")


def wave(k: int, *shape: int) -> torch.Tensor:
    """Weights by formula: element i of tensor k is 0.1 sin(0.37 i + k), rounded to float32."""
    values = [0.1 * math.sin(0.37 * i + k) for i in range(math.prod(shape))]
    return torch.tensor(values).float().double().reshape(shape)
