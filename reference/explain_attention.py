"""Explanations of a small vision Transformer, by their equations: what attention looks at, and what activations carry. Weights by formula."""

import torch
import torch.nn.functional as F
from architectures import block_shapes
from fixture import tensor, wave, write as write_fixture

WIDTH, HEADS, LAYERS, CLASSES, TOKENS = 12, 3, 2, [1, 2], 5
SHAPES = {"patch.conv.weight": [WIDTH, 1, 3, 3], "patch.conv.bias": [WIDTH], "class_token": [1, 1, WIDTH], "position": [1, TOKENS, WIDTH],
          **block_shapes("blocks.0", WIDTH), **block_shapes("blocks.1", WIDTH), "norm.weight": [WIDTH], "norm.bias": [WIDTH],
          "head.weight": [WIDTH, 4], "head.bias": [4]}
WEIGHTS = {name: 10 * wave(k, *shape) for k, (name, shape) in enumerate(SHAPES.items())}


def dense(name, x):
    return x @ WEIGHTS[f"{name}.weight"] + WEIGHTS[f"{name}.bias"]


def norm(name, x):
    return F.layer_norm(x, [WIDTH], WEIGHTS[f"{name}.weight"], WEIGHTS[f"{name}.bias"])


def head(x):
    return dense("head", norm("norm", x)[:, 0])


def run(images, patch=None):
    """Logits, the probabilities of attention, and the result of each block; `patch` is a block, a token and what to put there."""
    x = F.conv2d(images, WEIGHTS["patch.conv.weight"], WEIGHTS["patch.conv.bias"], stride=3).flatten(2).transpose(1, 2)
    x = torch.cat([WEIGHTS["class_token"].expand(len(x), 1, WIDTH), x], 1) + WEIGHTS["position"]
    probabilities, results = [], []
    for i in range(LAYERS):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, HEADS, -1).transpose(1, 2) for z in dense(f"blocks.{i}.attention.qkv", norm(f"blocks.{i}.norm1", x)).split(d, 2))
        weights = torch.softmax(q @ k.transpose(2, 3) / (d / HEADS) ** 0.5, 3).requires_grad_()
        weights.retain_grad() if weights.grad_fn else None
        probabilities.append(weights)
        x = x + dense(f"blocks.{i}.attention.proj", (weights @ v).transpose(1, 2).reshape(b, t, d))
        x = x + dense(f"blocks.{i}.down", F.gelu(dense(f"blocks.{i}.up", norm(f"blocks.{i}.norm2", x))))
        if patch and patch[0] == i:
            x = x.clone()
            x[:, patch[1]] = patch[2]
        results.append(x)
    return head(x), probabilities, results


def write():
    torch.manual_seed(10)
    x = tensor(2, 1, 6, 6)
    logits, probabilities, results = run(x)
    logits.gather(1, torch.tensor(CLASSES)[:, None]).sum().backward()

    rollout = relevance = torch.eye(TOKENS).expand(2, -1, -1)
    for weights in probabilities:
        rollout = (weights.mean(1) + torch.eye(TOKENS)) / 2 @ rollout
        relevance = relevance + (weights * weights.grad).relu().mean(1) @ relevance

    score = lambda logits: logits[0, 1].item()
    clean = run(x[:1])[2]
    patched = [[score(run(x[1:], (block, token, clean[block][:, token]))[0]) for token in range(TOKENS)] for block in range(LAYERS)]
    write_fixture("fornax-explain", "explain_attention", [dict(
        names=list(SHAPES), x=x, logits=logits, probabilities=torch.stack(probabilities), rollout=rollout, relevance=relevance,
        lens=torch.stack([head(result) for result in results]), clean=score(run(x[:1])[0]), corrupted=score(run(x[1:])[0]), patched=torch.tensor(patched),
    )])


if __name__ == "__main__":
    write()
