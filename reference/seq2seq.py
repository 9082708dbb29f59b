"""An encoder and a decoder with attention: logits, loss and gradients with weights by formula, as in `architectures.py`. Sequences have different lengths, and
nothing here sees padding: attention and loss go sequence by sequence."""

import math

import torch
import torch.nn.functional as F
from architectures import digest
from fixture import wave, write as write_fixture
from sequence_models import GATES
from torch import nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SOURCES, TARGETS, EMBEDDING, HIDDEN = 7, 5, 3, 6
SOURCE_LENGTHS, TARGET_LENGTHS = [6, 1, 4], [3, 5, 1]


def lstm(p, prefix, x, lengths, hidden, layers, bidirectional, state=None):
    """PyTorch's layers with Fornax's names of their weights."""
    module, directions, weights = nn.LSTM(x.shape[2], hidden, layers, batch_first=True, bidirectional=bidirectional), 1 + bidirectional, {}
    for name, _ in module.named_parameters():
        part, rest = name.rsplit("_l", 1)
        weights[name] = p[f"{prefix}.directions.{int(rest.split('_')[0]) * directions + rest.endswith('reverse')}.{part}"]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, last = functional_call(module, weights, (packed, state))
    return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], last


def seq2seq(p, sources, targets, encoder_layers, decoder_layers):
    """The logits of all steps that are no padding, one target behind the other."""
    steps, last = lstm(p, "encoder", p["source_embedding.weight"][sources], SOURCE_LENGTHS, HIDDEN // 2, encoder_layers, True)
    # Both directions of each of the upper layers, side by side.
    state = tuple(torch.stack([torch.cat([x[k], x[k + 1]], 1) for k in range(len(x) - 2 * decoder_layers, len(x), 2)]) for x in last)
    written, _ = lstm(p, "decoder", p["target_embedding.weight"][targets], TARGET_LENGTHS, HIDDEN, decoder_layers, False, state)
    rows = []
    for i, (n, u) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS)):
        keys, queries = steps[i, :n], written[i, :u]
        context = torch.softmax(queries @ p["attention.weight"] @ keys.T, 1) @ keys
        rows.append(torch.tanh(torch.cat([context, queries], 1) @ p["attention.combine.weight"]) @ p["head.weight"] + p["head.bias"])
    return torch.cat(rows)


def lstm_shapes(prefix, hidden, layers, bidirectional):
    shapes, directions, rows = {}, 1 + bidirectional, GATES["lstm"] * hidden
    for i in range(layers * directions):
        width = EMBEDDING if i < directions else hidden * directions
        shapes |= {f"{prefix}.directions.{i}.{name}": shape for name, shape in
                   dict(weight_ih=[rows, width], weight_hh=[rows, hidden], bias_ih=[rows], bias_hh=[rows]).items()}
    return shapes


def case(encoder_layers, decoder_layers):
    shapes = {"source_embedding.weight": [SOURCES, EMBEDDING], "target_embedding.weight": [TARGETS + 1, EMBEDDING],
              **lstm_shapes("encoder", HIDDEN // 2, encoder_layers, True), **lstm_shapes("decoder", HIDDEN, decoder_layers, False),
              "attention.weight": [HIDDEN, HIDDEN], "attention.combine.weight": [2 * HIDDEN, HIDDEN], "head.weight": [HIDDEN, TARGETS + 1],
              "head.bias": [TARGETS + 1]}
    parameters = {key: (5 * wave(k, *shape)).requires_grad_() for k, (key, shape) in enumerate(shapes.items())}
    sources = [(7 * i + i * i) % SOURCES for i in range(18)]
    targets = [TARGETS if i % 5 == 0 else (3 * i + i * i) % TARGETS for i in range(15)]
    logits = seq2seq(parameters, torch.tensor(sources).view(3, 6), torch.tensor(targets).view(3, 5), encoder_layers, decoder_layers)
    classes = [(3 * i + 1) % (TARGETS + 1) for i in range(len(logits))]
    loss = F.cross_entropy(logits, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=key, shape=shapes[key], **digest(p.grad)) for key, p in parameters.items()]
    return dict(name=f"{encoder_layers} layers read, {decoder_layers} write", parameters=sum(math.prod(shape) for shape in shapes.values()),
                sources=sources, source_lengths=SOURCE_LENGTHS, targets=targets, target_lengths=TARGET_LENGTHS, classes=classes, logits=logits,
                loss=loss.item(), weights=weights)


def write():
    write_fixture("fornax-architectures", "seq2seq", [case(2, 1), case(2, 2), case(1, 1)])
