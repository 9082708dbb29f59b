"""Recurrent cells that PyTorch does not have, written out from their papers: all outputs and the last state, and gradients of `Σ y ⊙ direction`."""

import torch
import torch.nn.functional as F
from attention import case
from fixture import leaf, write as write_fixture

LENGTHS = [4, 0, 2]
BATCH, TIME, INPUTS, HIDDEN = len(LENGTHS), 4, 3, 2


def lstm_leaves(prefix, **more):
    shapes = {"input_weight": (INPUTS, 4 * HIDDEN), "recurrent_weight": (HIDDEN, 4 * HIDDEN), **more}
    p = {f"{prefix}_{name}": leaf(*shape, scale=2.0) for name, shape in shapes.items()}
    return dict(x=leaf(BATCH, TIME, INPUTS, scale=2.0), h=leaf(1, BATCH, HIDDEN), c=leaf(1, BATCH, HIDDEN)) | p


def peephole_step(p, x, h, c, prefix="cell"):
    i, f, g, o = (x @ p[f"{prefix}_input_weight"] + p[f"{prefix}_input_bias"] + h @ p[f"{prefix}_recurrent_weight"]).chunk(4, -1)
    wi, wf, wo = p[f"{prefix}_peepholes"] if f"{prefix}_peepholes" in p else torch.zeros(3, HIDDEN)
    c2 = torch.sigmoid(f + wf * c) * c + torch.sigmoid(i + wi * c) * torch.tanh(g)
    return torch.sigmoid(o + wo * c2) * torch.tanh(c2), c2


def layer_norm_step(p, x, h, c):
    norm = lambda name, x: F.layer_norm(x, x.shape[-1:], p[f"cell_norm_{name}_weight"], p[f"cell_norm_{name}_bias"], eps=1e-5)
    i, f, g, o = (norm("recurrent", h @ p["cell_recurrent_weight"]) + norm("input", x @ p["cell_input_weight"])).chunk(4, -1)
    c2 = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(norm("memory", c2)), c2


def zoneout_step(p, x, h, c):
    """In expectation, 0.25 of h and 0.5 of c."""
    h2, c2 = peephole_step(p, x, h, c, "cell_cell")
    return 0.25 * h + 0.75 * h2, 0.5 * c + 0.5 * c2


def unrolled(name, step, p, reverse):
    rows, last_h, last_c = [], [], []
    for b, n in enumerate(LENGTHS):
        h, c, y = p["h"][0, b], p["c"][0, b], {}
        for t in reversed(range(n)) if reverse else range(n):
            h, c = step(p, p["x"][b, t], h, c)
            y[t] = h
        rows.append(torch.stack([y.get(t, torch.zeros(HIDDEN)) for t in range(TIME)]))
        last_h.append(h)
        last_c.append(c)
    y = torch.cat([torch.stack(rows).flatten(1), torch.stack(last_h), torch.stack(last_c)], 1)
    return case("unrolled", f"{name}{', reversed' * reverse}", y, p, cell=name, reverse=reverse, lengths=LENGTHS)


def minimal(kind):
    parts = 2 if kind == "gru" else 3
    p = dict(x=leaf(BATCH, TIME, INPUTS, scale=2.0), h=leaf(1, BATCH, HIDDEN), gates_weight=leaf(INPUTS, parts * HIDDEN, scale=2.0),
             gates_bias=leaf(parts * HIDDEN))
    rows, last = [], []
    for b, n in enumerate(LENGTHS):
        h, y = p["h"][0, b], []
        for t in range(n):
            gates = (p["x"][b, t] @ p["gates_weight"] + p["gates_bias"]).chunk(parts)
            if kind == "gru":
                z, new = torch.sigmoid(gates[0]), gates[1]
                h = (1 - z) * h + z * new
            else:
                f, i, new = torch.sigmoid(gates[0]), torch.sigmoid(gates[1]), gates[2]
                h = f / (f + i) * h + i / (f + i) * new
            y.append(h)
        rows.append(torch.stack(y + [torch.zeros(HIDDEN)] * (TIME - n)))
        last.append(h)
    return case("minimal", f"min{kind.upper()}", torch.cat([torch.stack(rows).flatten(1), torch.stack(last)], 1), p, cell=kind, lengths=LENGTHS)


def selective(batch=2, time=5, d=3, e=4, n=2, k=3, r=1):
    """A selective state-space block, step by step."""
    shapes = dict(input_weight=(d, 2 * e), conv=(k, e), conv_bias=(e,), select_weight=(e, r + 2 * n), step_weight=(r, e), step_bias=(e,), log_a=(e, n), skip=(e,),
                  output_weight=(e, d))
    p = dict(x=leaf(batch, time, d, scale=2.0)) | {name: leaf(*shape) for name, shape in shapes.items()}
    u, z = (p["x"] @ p["input_weight"]).split(e, 2)
    # PyTorch's depthwise convolution, cut to the past.
    v = F.silu(F.conv1d(u.transpose(1, 2), p["conv"].T[:, None], p["conv_bias"], padding=k - 1, groups=e)[..., :time].transpose(1, 2))
    delta, b, c = (v @ p["select_weight"]).split([r, n, n], 2)
    step = F.softplus(delta @ p["step_weight"] + p["step_bias"])
    h, y = torch.zeros(batch, e, n), []
    for t in range(time):
        h = torch.exp(step[:, t, :, None] * -torch.exp(p["log_a"])) * h + step[:, t, :, None] * b[:, t, None] * v[:, t, :, None]
        y.append((h * c[:, t, None]).sum(2) + p["skip"] * v[:, t])
    return case("selective", "selective state-space block", (torch.stack(y, 1) * F.silu(z)) @ p["output_weight"], p)


def write():
    torch.manual_seed(8)
    bias, peepholes = dict(input_bias=(4 * HIDDEN,)), dict(peepholes=(3, HIDDEN))
    norms = {f"norm_{name}_{part}": (width,) for name, width in dict(input=4 * HIDDEN, recurrent=4 * HIDDEN, memory=HIDDEN).items() for part in ("weight", "bias")}
    cases = [
        unrolled("peephole", peephole_step, lstm_leaves("cell", **bias, **peepholes), False),
        unrolled("peephole", peephole_step, lstm_leaves("cell", **bias, **peepholes), True),
        unrolled("plain", peephole_step, lstm_leaves("cell", **bias), False),
        unrolled("layer norm", layer_norm_step, lstm_leaves("cell", **norms), False),
        unrolled("zoneout", zoneout_step, lstm_leaves("cell_cell", **bias), False),
        minimal("gru"),
        minimal("lstm"),
        selective(),
    ]
    write_fixture("fornax-layers", "recurrent_variants", cases)
