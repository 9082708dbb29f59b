"""BERT by transformers: hidden states, the pooled vector, loss and gradients with weights by formula, as in `architectures.py`. Texts have different lengths."""

import math

import torch
import torch.nn.functional as F
from architectures import digest
from fixture import wave, write as write_fixture
from transformers import BertConfig, BertModel

VOCABULARY, CONTEXT, WIDTH, HEADS, HIDDEN, LAYERS = 11, 8, 6, 3, 10, 2
TIME, LENGTHS = 7, [7, 3, 5]


def model():
    config = BertConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=HIDDEN,
                        max_position_embeddings=CONTEXT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-12,
                        attn_implementation="eager", pad_token_id=None)
    return BertModel(config).double().eval()


def ours():
    """Fornax's names with the shape of each, and how each is made of Hugging Face's: the parts of a projection beside each other, transposed."""
    names = {"token.weight": ["embeddings.word_embeddings.weight"], "position.weight": ["embeddings.position_embeddings.weight"],
             "segment.weight": ["embeddings.token_type_embeddings.weight"], "norm.weight": ["embeddings.LayerNorm.weight"],
             "norm.bias": ["embeddings.LayerNorm.bias"]}
    for i in range(LAYERS):
        for part in ["weight", "bias"]:
            layer, block = f"encoder.layer.{i}", f"blocks.{i}"
            names[f"{block}.norm1.{part}"] = [f"{layer}.attention.output.LayerNorm.{part}"]
            names[f"{block}.attention.qkv.{part}"] = [f"{layer}.attention.self.{kind}.{part}" for kind in ["query", "key", "value"]]
            names[f"{block}.attention.proj.{part}"] = [f"{layer}.attention.output.dense.{part}"]
            names[f"{block}.norm2.{part}"] = [f"{layer}.output.LayerNorm.{part}"]
            names[f"{block}.up.{part}"] = [f"{layer}.intermediate.dense.{part}"]
            names[f"{block}.down.{part}"] = [f"{layer}.output.dense.{part}"]
    return names | {"pooler.weight": ["pooler.dense.weight"], "pooler.bias": ["pooler.dense.bias"]}


def dense(name):
    """Whether a tensor is the weight of a linear layer, which PyTorch has the other way round."""
    return name.endswith("weight") and "norm" not in name and not name.startswith(("token", "position", "segment"))


def joined(name, tensors):
    return torch.cat(tensors).T if dense(name) else torch.cat(tensors)


def write():
    bert = model()
    parameters = dict(bert.named_parameters())
    names = ours()
    assert sorted(sum(names.values(), [])) == sorted(parameters)
    shapes = {name: list(joined(name, [parameters[theirs] for theirs in parts]).shape) for name, parts in names.items()}
    with torch.no_grad():
        for k, (name, parts) in enumerate(names.items()):
            value = 5 * wave(k, *shapes[name])
            back = value.T if dense(name) else value
            for part, piece in zip(parts, back.split([len(parameters[part]) for part in parts])):
                parameters[part].copy_(piece)
    tokens = torch.tensor([(7 * i + i * i) % VOCABULARY for i in range(len(LENGTHS) * TIME)]).view(len(LENGTHS), TIME)
    segments = (torch.arange(TIME) >= 4).long().expand(len(LENGTHS), TIME)
    seen = (torch.arange(TIME)[None] < torch.tensor(LENGTHS)[:, None]).long()
    out = bert(tokens, attention_mask=seen, token_type_ids=segments)
    rows = torch.cat([out.last_hidden_state[b, :n] for b, n in enumerate(LENGTHS)] + [out.pooler_output])
    classes = [(3 * i + 1) % WIDTH for i in range(len(rows))]
    loss = F.cross_entropy(rows, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=name, shape=shapes[name], **digest(joined(name, [parameters[part].grad for part in parts]))) for name, parts in names.items()]
    case = dict(name="bert", parameters=sum(math.prod(shape) for shape in shapes.values()), tokens=tokens.flatten().tolist(),
                segments=segments.flatten().tolist(), lengths=LENGTHS, classes=classes, logits=rows, loss=loss.item(), weights=weights)
    write_fixture("fornax-architectures", "bert", [case])
