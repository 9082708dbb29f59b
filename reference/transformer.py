"""The encoder and decoder of "Attention is all you need" from PyTorch's own layers, with weights by formula, as in `architectures.py`. Sequences have different
lengths, and go through the layers one by one, so that nothing here sees padding."""

import math

import torch
import torch.nn.functional as F
from architectures import digest
from fixture import wave, write as write_fixture
from torch import nn
from torch.func import functional_call

SOURCES, TARGETS, WIDTH, HEADS, HIDDEN = 7, 5, 8, 2, 12
SOURCE_LENGTHS, TARGET_LENGTHS = [6, 1, 4], [3, 5, 1]


def attention(p, prefix, theirs, parts):
    """PyTorch's one projection, of those that Fornax has side by side."""
    joined = {name: torch.cat([p[f"{prefix}.{part}.{name}"] for part in parts], -1) for name in ["weight", "bias"]}
    return {f"{theirs}.in_proj_weight": joined["weight"].T, f"{theirs}.in_proj_bias": joined["bias"],
            f"{theirs}.out_proj.weight": p[f"{prefix}.proj.weight"].T, f"{theirs}.out_proj.bias": p[f"{prefix}.proj.bias"]}


def rest(p, prefix, norms):
    weights = {}
    for theirs, ours in [("linear1", "up"), ("linear2", "down")]:
        weights |= {f"{theirs}.weight": p[f"{prefix}.{ours}.weight"].T, f"{theirs}.bias": p[f"{prefix}.{ours}.bias"]}
    for i, ours in enumerate(norms):
        weights |= {f"norm{i + 1}.{name}": p[f"{prefix}.{ours}.{name}"] for name in ["weight", "bias"]}
    return weights


def positions(time):
    angles = torch.arange(time)[:, None] / 10000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def transformer(p, sources, targets, layers, norm_first):
    """The logits of all steps that are no padding, one target behind the other."""
    options = dict(dropout=0.0, batch_first=True, norm_first=norm_first)
    reads, writes = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, **options), nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, **options)
    norm = lambda x, name: F.layer_norm(x, [WIDTH], p[f"{name}.weight"], p[f"{name}.bias"]) if norm_first else x
    embed = lambda name, symbols: (p.get(name, p["target_embedding.weight"])[symbols] * math.sqrt(WIDTH) + positions(len(symbols)))[None]
    rows = []
    for i, (n, u) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS)):
        x, y = embed("source_embedding.weight", sources[i, :n]), embed("target_embedding.weight", targets[i, :u])
        for k in range(layers[0]):
            weights = attention(p, f"encoder.{k}.attention", "self_attn", ["qkv"]) | rest(p, f"encoder.{k}", ["norm1", "norm2"])
            x = functional_call(reads, weights, (x,))
        x = norm(x, "encoder_norm")
        mask = nn.Transformer.generate_square_subsequent_mask(u, dtype=torch.float64)
        for k in range(layers[1]):
            weights = attention(p, f"decoder.{k}.attention", "self_attn", ["qkv"]) | attention(p, f"decoder.{k}.cross", "multihead_attn", ["q", "kv"])
            y = functional_call(writes, weights | rest(p, f"decoder.{k}", ["norm1", "norm_cross", "norm2"]), (y, x), dict(tgt_mask=mask))
        y = norm(y, "decoder_norm")[0]
        rows.append(y @ p["head.weight"] + p["head.bias"] if "head.weight" in p else y @ p["target_embedding.weight"].T)
    return torch.cat(rows)


def linear(name, inputs, outputs):
    return {f"{name}.weight": [inputs, outputs], f"{name}.bias": [outputs]}


def shapes(layers, norm_first, tied, shared):
    norm = lambda name: {f"{name}.weight": [WIDTH], f"{name}.bias": [WIDTH]}
    dense = lambda name: linear(f"{name}.up", WIDTH, HIDDEN) | linear(f"{name}.down", HIDDEN, WIDTH)
    all_ = {} if shared else {"source_embedding.weight": [SOURCES, WIDTH]}
    all_ |= {"target_embedding.weight": [TARGETS + 1, WIDTH]}
    for k in range(layers[0]):
        name = f"encoder.{k}"
        all_ |= norm(f"{name}.norm1") | linear(f"{name}.attention.qkv", WIDTH, 3 * WIDTH) | linear(f"{name}.attention.proj", WIDTH, WIDTH)
        all_ |= norm(f"{name}.norm2") | dense(name)
    if norm_first:
        all_ |= norm("encoder_norm")
    for k in range(layers[1]):
        name = f"decoder.{k}"
        all_ |= norm(f"{name}.norm1") | linear(f"{name}.attention.qkv", WIDTH, 3 * WIDTH) | linear(f"{name}.attention.proj", WIDTH, WIDTH)
        all_ |= norm(f"{name}.norm_cross") | linear(f"{name}.cross.q", WIDTH, WIDTH) | linear(f"{name}.cross.kv", WIDTH, 2 * WIDTH)
        all_ |= linear(f"{name}.cross.proj", WIDTH, WIDTH) | norm(f"{name}.norm2") | dense(name)
    if norm_first:
        all_ |= norm("decoder_norm")
    return all_ if tied else all_ | linear("head", WIDTH, TARGETS + 1)


def case(name, layers, norm_first, tied, shared):
    sizes = shapes(layers, norm_first, tied, shared)
    parameters = {key: (5 * wave(k, *shape)).requires_grad_() for k, (key, shape) in enumerate(sizes.items())}
    symbols = TARGETS + 1 if shared else SOURCES
    sources = [(7 * i + i * i) % symbols for i in range(18)]
    targets = [TARGETS if i % 5 == 0 else (3 * i + i * i) % TARGETS for i in range(15)]
    logits = transformer(parameters, torch.tensor(sources).view(3, 6), torch.tensor(targets).view(3, 5), layers, norm_first)
    classes = [(3 * i + 1) % (TARGETS + 1) for i in range(len(logits))]
    loss = F.cross_entropy(logits, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=key, shape=sizes[key], **digest(p.grad)) for key, p in parameters.items()]
    return dict(name=name, parameters=sum(math.prod(shape) for shape in sizes.values()), sources=sources, source_lengths=SOURCE_LENGTHS, targets=targets,
                target_lengths=TARGET_LENGTHS, classes=classes, logits=logits, loss=loss.item(), weights=weights)


def write():
    write_fixture("fornax-architectures", "transformer", [
        case("pre-norm", (2, 2), True, False, False), case("post-norm", (2, 2), False, True, False), case("shared", (1, 2), True, True, True)])
