"""T5's attention, Gemma's cap and Mixtral's experts by transformers: outputs, and gradients of `Σ y ⊙ direction` by every input and parameter."""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from attention import case
from fixture import leaf, write as write_fixture
from torch.func import functional_call
from transformers import MixtralConfig, T5Config
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func
from transformers.models.t5.modeling_t5 import T5Attention

@contextmanager
def in_double():
    """transformers takes softmaxes in float32 whatever the type; here in that of the scores, for fixtures that hold in f64 too."""
    kept = torch.Tensor.float, F.softmax
    torch.Tensor.float = torch.Tensor.double
    F.softmax = lambda x, dim, dtype=None, **_: torch.softmax(x, dim)
    yield
    torch.Tensor.float, F.softmax = kept


DISTANCES = [*range(-20, 21), -64, -63, -65, -90, -127, -128, -129, -500, 31, 45, 64, 90, 127, 128, 400]


def buckets(both, count, furthest):
    found = T5Attention._relative_position_bucket(torch.tensor(DISTANCES), bidirectional=both, num_buckets=count, max_distance=furthest)
    # Whole numbers in the fixture are not negative.
    return dict(name=f"{count} buckets to {furthest}{', both sides' * both}", kind="buckets", both=both, count=count, furthest=furthest,
                distances=[d + 1000 for d in DISTANCES], buckets=found.tolist())


def relative(causal, b, t, width, heads, head, count, furthest, hidden=0):
    config = T5Config(d_model=width, d_kv=head, num_heads=heads, relative_attention_num_buckets=count, relative_attention_max_distance=furthest,
                      dropout_rate=0.0, is_decoder=causal)
    module = T5Attention(config, has_relative_attention_bias=True, layer_idx=0).double()
    inner = heads * head
    leaves = dict(x=leaf(b, t, width, scale=4.0), q_weight=leaf(width, inner), k_weight=leaf(width, inner), v_weight=leaf(width, inner),
                  proj_weight=leaf(inner, width), bias_weight=leaf(count, heads))
    weights = {f"{n}.weight": leaves[f"{n}_weight"].T for n in "qkv"} | {"o.weight": leaves["proj_weight"].T,
                                                                       "relative_attention_bias.weight": leaves["bias_weight"]}
    mask = torch.full((t, t), -1e9).triu(1) if causal else torch.zeros(t, t)
    mask = mask.expand(b, 1, t, t).clone()
    if hidden:
        mask[0, :, :, t - hidden:] = -1e9
    y = functional_call(module, weights, (leaves["x"],), dict(mask=mask, cache_position=torch.arange(t)))[0]
    name = f"T5's attention, {heads} heads over [{b}, {t}, {width}]{', causal' * causal}{', padding' * bool(hidden)}"
    return case("relative_attention", name, y, leaves, causal=causal, heads=heads, head=head, buckets=count, furthest=furthest, hidden=hidden)


def soft_cap(b, t, width, cap):
    """Gemma 2's eager attention: one head, the whole width."""
    leaves = dict(q=leaf(b, t, width, scale=4.0), k=leaf(b, t, width, scale=4.0), v=leaf(b, t, width), proj_weight=leaf(width, width))
    scores = leaves["q"] @ leaves["k"].transpose(1, 2) * width**-0.5
    scores = torch.tanh(scores / cap) * cap + torch.full((t, t), float("-inf")).triu(1)
    return case("soft_cap", f"scores held below {cap}", torch.softmax(scores, -1) @ leaves["v"] @ leaves["proj_weight"], leaves, cap=cap)


def mixture(b, t, width, hidden, experts, top):
    module = MixtralSparseMoeBlock(MixtralConfig(hidden_size=width, intermediate_size=hidden, num_local_experts=experts, num_experts_per_tok=top)).double()
    leaves = dict(x=leaf(b, t, width, scale=4.0), router_weight=leaf(width, experts))
    for e in range(experts):
        leaves |= {f"experts_{e}_gate_weight": leaf(width, hidden), f"experts_{e}_up_weight": leaf(width, hidden),
                   f"experts_{e}_down_weight": leaf(hidden, width)}
    weights = {"gate.weight": leaves["router_weight"].T}
    for e in range(experts):
        for theirs, ours in [("w1", "gate"), ("w3", "up"), ("w2", "down")]:
            weights[f"experts.{e}.{theirs}.weight"] = leaves[f"experts_{e}_{ours}_weight"].T
    y, logits = functional_call(module, weights, (leaves["x"],))
    balance = load_balancing_loss_func((logits,), experts, top)
    assert len(logits.topk(top).indices.unique()) == experts, "every expert is used"
    names = ["x", "router_weight"]
    by_balance = dict(zip(names, torch.autograd.grad(balance, [leaves[name] for name in names], retain_graph=True)))
    assert by_balance["x"].abs().max() > 1e-3, "not used alike"
    found = case("mixture", f"{top} of {experts} experts over [{b}, {t}, {width}]", y, leaves, experts=experts, top=top, hidden=hidden)
    return found | dict(balance=balance.item(), by_balance=by_balance)


def write():
    with in_double():
        cases = [
            buckets(True, 32, 128), buckets(False, 32, 128), buckets(True, 8, 20), buckets(False, 6, 64),
            relative(False, 2, 7, 6, 2, 3, 8, 20, hidden=2),
            relative(True, 2, 9, 4, 2, 3, 6, 16),
            soft_cap(2, 5, 4, 1.5),
            mixture(2, 5, 4, 3, 4, 2),
            mixture(1, 5, 3, 5, 3, 2),
        ]
    write_fixture("fornax-layers", "relative", cases)
