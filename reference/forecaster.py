"""The forecaster of `fornax-architectures`: quantiles, loss and gradients with weights by formula, as in `architectures.py`; and the pinball loss."""

import math

import torch
import torch.nn.functional as F
from architectures import digest
from fixture import wave, write as write_fixture
from sequence_models import GATES
from torch import nn
from torch.func import functional_call

BATCH, PAST, HORIZON, INPUTS, KNOWN, HIDDEN, WIDTH, LEVELS = 3, 7, 4, 5, 2, 6, 3, [0.1, 0.5, 0.75]


def forecaster(p, past, future, cell, layers):
    module = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](INPUTS, HIDDEN, layers, batch_first=True)
    weights = {name: p[f"encoder.directions.{name.rsplit('_l', 1)[1]}.{name.rsplit('_l', 1)[0]}"] for name, _ in module.named_parameters()}
    read = functional_call(module, weights, (past,))[0][:, -1]
    context = F.relu(read @ p["context.weight"] + p["context.bias"]).view(BATCH, HORIZON, WIDTH)
    local = F.relu(torch.cat([context, future], 2) @ p["local.weight"] + p["local.bias"])
    raw = local @ p["head.weight"] + p["head.bias"]
    return torch.cumsum(torch.cat([raw[..., :1], F.softplus(raw[..., 1:])], 2), 2)


def case(cell, layers):
    rows = GATES[cell] * HIDDEN
    shapes = {}
    for i in range(layers):
        width = HIDDEN if i else INPUTS
        shapes |= {f"encoder.directions.{i}.{name}": shape for name, shape in
                   dict(weight_ih=[rows, width], weight_hh=[rows, HIDDEN], bias_ih=[rows], bias_hh=[rows]).items()}
    shapes |= {"context.weight": [HIDDEN, HORIZON * WIDTH], "context.bias": [HORIZON * WIDTH], "local.weight": [WIDTH + KNOWN, WIDTH], "local.bias": [WIDTH],
               "head.weight": [WIDTH, len(LEVELS)], "head.bias": [len(LEVELS)]}
    parameters = {key: (5 * wave(k, *shape)).requires_grad_() for k, (key, shape) in enumerate(shapes.items())}
    past, future = 5 * wave(40, BATCH, PAST, INPUTS), 5 * wave(41, BATCH, HORIZON, KNOWN)
    quantiles = forecaster(parameters, past, future, cell, layers).flatten(0, 1)
    classes = [(3 * i + 1) % len(LEVELS) for i in range(len(quantiles))]
    loss = F.cross_entropy(quantiles, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=key, shape=shapes[key], **digest(p.grad)) for key, p in parameters.items()]
    return dict(name=f"{cell}, {layers} layers", parameters=sum(math.prod(shape) for shape in shapes.values()), past=past, future=future, classes=classes,
                logits=quantiles, loss=loss.item(), weights=weights)


def pinball():
    """By its definition, element by element."""
    forecasts, targets = (10 * wave(50, 2, 3, 3)).requires_grad_(), 10 * wave(51, 2, 3)
    terms = []
    for q, level in enumerate(LEVELS):
        error = targets - forecasts[:, :, q]
        terms.append(torch.where(error >= 0, level * error, (level - 1) * error))
    loss = torch.stack(terms).mean()
    loss.backward()
    return dict(name="pinball", levels=torch.tensor(LEVELS), forecasts=forecasts, targets=targets, loss=loss.item(), gradient=forecasts.grad)


def write():
    write_fixture("fornax-architectures", "forecaster", [case("lstm", 1), case("gru", 2), pinball()])
