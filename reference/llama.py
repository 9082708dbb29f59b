"""Llama and Qwen3: logits, loss and gradients with weights by formula, as in `architectures.py`, in float64; transformers' own models, which compute norms and
angles in float32, must agree to 1e-5."""

import math

import torch
import torch.nn.functional as F
from architectures import digest
from fixture import wave, write as write_fixture
from torch.func import functional_call
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

VOCABULARY, WIDTH, HEADS, GROUPS, HIDDEN, LAYERS, EPSILON = 11, 16, 4, 2, 20, 2, 1e-5
HEAD = WIDTH // HEADS
BATCH, TIME = 2, 7


def rms(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight


def turn(x):
    angles = torch.arange(x.shape[2])[:, None] * 10000 ** (-torch.arange(0, HEAD, 2) / HEAD)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)


def llama(p, tokens, window):
    x = p["token.weight"][tokens]
    ago = torch.arange(TIME)[:, None] - torch.arange(TIME)
    mask = (ago >= 0) & (ago < (window or TIME))
    for i in range(LAYERS):
        h = rms(x, p[f"blocks.{i}.norm1.weight"])
        a = f"blocks.{i}.attention"
        q, k, v = ((h @ p[f"{a}.{name}.weight"]).view(BATCH, TIME, -1, HEAD).transpose(1, 2) for name in "qkv")
        if f"{a}.q_norm.weight" in p:
            q, k = rms(q, p[f"{a}.q_norm.weight"]), rms(k, p[f"{a}.k_norm.weight"])
        y = F.scaled_dot_product_attention(turn(q), turn(k).repeat_interleave(HEADS // GROUPS, 1), v.repeat_interleave(HEADS // GROUPS, 1), mask)
        x = x + y.transpose(1, 2).flatten(2) @ p[f"{a}.proj.weight"]
        h, f = rms(x, p[f"blocks.{i}.norm2.weight"]), f"blocks.{i}.feed_forward"
        up = h @ p[f"{f}.up.weight"]
        hidden = F.silu(h @ p[f"{f}.gate.weight"]) * up if f"{f}.gate.weight" in p else F.relu(up) ** 2
        x = x + hidden @ p[f"{f}.down.weight"]
    x = rms(x, p["norm.weight"])
    return (x @ p["head.weight"] if "head.weight" in p else x @ p["token.weight"].T).flatten(0, 1)


def shapes(gated, norm, tied):
    all_ = {"token.weight": [VOCABULARY, WIDTH]}
    for i in range(LAYERS):
        b = f"blocks.{i}"
        all_ |= {f"{b}.norm1.weight": [WIDTH], f"{b}.attention.q.weight": [WIDTH, WIDTH], f"{b}.attention.k.weight": [WIDTH, GROUPS * HEAD],
                 f"{b}.attention.v.weight": [WIDTH, GROUPS * HEAD], f"{b}.attention.proj.weight": [WIDTH, WIDTH]}
        all_ |= {f"{b}.attention.{name}_norm.weight": [HEAD] for name in "qk"} if norm else {}
        all_ |= {f"{b}.norm2.weight": [WIDTH]} | ({f"{b}.feed_forward.gate.weight": [WIDTH, HIDDEN]} if gated else {})
        all_ |= {f"{b}.feed_forward.up.weight": [WIDTH, HIDDEN], f"{b}.feed_forward.down.weight": [HIDDEN, WIDTH]}
    return all_ | {"norm.weight": [WIDTH]} | ({} if tied else {"head.weight": [WIDTH, VOCABULARY]})


NAMES = {"norm1": "input_layernorm", "norm2": "post_attention_layernorm", "attention.proj": "self_attn.o_proj", "attention.q_norm": "self_attn.q_norm",
         "attention.k_norm": "self_attn.k_norm", **{f"attention.{n}": f"self_attn.{n}_proj" for n in "qkv"},
         **{f"feed_forward.{n}": f"mlp.{n}_proj" for n in ["gate", "up", "down"]}}


def theirs(p, norm, tokens):
    kind, config = (Qwen3ForCausalLM, Qwen3Config) if norm else (LlamaForCausalLM, LlamaConfig)
    model = kind(config(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                        num_key_value_heads=GROUPS, rms_norm_eps=EPSILON, head_dim=HEAD, tie_word_embeddings="head.weight" not in p, attention_bias=False,
                        max_position_embeddings=TIME))
    weights = {"model.embed_tokens.weight": p["token.weight"], "model.norm.weight": p["norm.weight"],
               "lm_head.weight": p["head.weight"].T if "head.weight" in p else p["token.weight"]}
    for key, value in p.items():
        if key.startswith("blocks."):
            _, i, rest = key.split(".", 2)
            weights[f"model.layers.{i}.{NAMES[rest.removesuffix('.weight')]}.weight"] = value.T if value.ndim == 2 else value
    return functional_call(model, weights, (tokens,)).logits.flatten(0, 1)


def case(name, gated, norm, tied, window):
    sizes = shapes(gated, norm, tied)
    p = {key: (5 * wave(k, *shape)).requires_grad_() for k, (key, shape) in enumerate(sizes.items())}
    tokens = [(7 * i + i * i) % VOCABULARY for i in range(BATCH * TIME)]
    logits = llama(p, torch.tensor(tokens).view(BATCH, TIME), window)
    if gated and not window:
        assert (logits - theirs(p, norm, torch.tensor(tokens).view(BATCH, TIME))).abs().max() < 1e-5 * logits.abs().max()
    classes = [(3 * i + 1) % VOCABULARY for i in range(len(logits))]
    loss = F.cross_entropy(logits, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=key, shape=sizes[key], **digest(value.grad)) for key, value in p.items()]
    return dict(name=name, parameters=sum(math.prod(shape) for shape in sizes.values()), tokens=tokens, classes=classes, logits=logits, loss=loss.item(),
                weights=weights)


def write():
    write_fixture("fornax-architectures", "llama", [
        case("llama", True, False, False, 0), case("qwen3", True, True, True, 0), case("windowed", False, True, True, 3)])
