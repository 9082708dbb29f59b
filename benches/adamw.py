"""AdamW on 10 million parameters: ours on Flex beside PyTorch's `fused=True` on CPU, in turn, on two threads each.

    cargo bench -p fornax-benches --bench adamw --no-run        # prints the path of the program
    python benches/adamw.py PROGRAM

Each round takes the fastest of five steps of each side, and of five passes over as many bytes; the figures are medians over the rounds.
"""

import json
import statistics
import subprocess
import sys
import time

import torch

# As in `benches/adamw.rs`.
MATRICES = [(2500, 1600), (1600, 1250), (1250, 1600), (1000, 1000), (1000, 1000)]
VECTORS = [2500, 1600, 1250, 1600, 1000, 1000, 1600, 1600]
STEPS, ROUNDS = 5, 15


def main(program: str) -> None:
    torch.set_num_threads(2)
    parameters = [torch.nn.Parameter(torch.rand(shape) - 0.5) for shape in [*MATRICES, *((n,) for n in VECTORS)]]
    for p in parameters:
        p.grad = torch.rand_like(p) - 0.5
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)

    def pytorch() -> float:
        times = []
        for _ in range(STEPS):
            began = time.perf_counter()
            optimizer.step()
            times.append(1e3 * (time.perf_counter() - began))
        return min(times)

    ours = subprocess.Popen([program, "--on-request"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    count = json.loads(ours.stdout.readline())["parameters"]
    assert count == sum(p.numel() for p in parameters)
    pytorch()
    rounds = []
    for _ in range(ROUNDS):
        ours.stdin.write("\n")
        ours.stdin.flush()
        rounds.append(json.loads(ours.stdout.readline()) | {"pytorch_ms": pytorch()})
    ours.stdin.close()
    step, stream, fused = (statistics.median(r[key] for r in rounds) for key in ("step_ms", "stream_ms", "pytorch_ms"))
    ratio, bound = (statistics.median(r["step_ms"] / r[key] for r in rounds) for key in ("pytorch_ms", "stream_ms"))
    print(f"{count:,} parameters, {ROUNDS} rounds: ours {step:.2f} ms, PyTorch fused {fused:.2f} ms ({ratio:.2f} x), streaming {28 * count / stream / 1e6:.1f} GB/s, {stream:.2f} ms ({bound:.2f} x)")


if __name__ == "__main__":
    main(sys.argv[1])
