"""Attributions by Captum, of networks with weights by formula: one entry a method and network."""

import itertools
import warnings

import numpy
import torch
import torch.nn.functional as F
from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
from captum.attr import (
    FeatureAblation,
    FeaturePermutation,
    InputXGradient,
    IntegratedGradients,
    KernelShap,
    LayerActivation,
    LayerConductance,
    Lime,
    NeuronConductance,
    NeuronGradient,
    NoiseTunnel,
    Occlusion,
    Saliency,
    ShapleyValueSampling,
    ShapleyValues,
)
from captum.attr._core.gradient_shap import InputBaselineXGradient
from captum.attr._core.lime import get_exp_kernel_similarity_function
from captum.metrics import infidelity, sensitivity_max
from fixture import tensor, wave, write as write_fixture
from torch import nn

warnings.filterwarnings("ignore", module="captum")

SHAPE = (2, 1, 6, 6)
CLASSES = [1, 2]
SIDE = 3
# Of the flattened activation.
UNIT = 3
ORDERS = [[2, 0, 3, 1], [1, 3, 2, 0], [0, 1, 2, 3]]
# How far from its baseline each example is, for each sample of GradientSHAP.
PLACES = [[0.25, 0.75], [0.5, 0.125], [0.875, 0.375]]
# For each feature, which example it is taken from.
SHUFFLES = [[1, 0], [1, 0], [0, 1], [1, 0]]
# Features that are in, for LIME.
SAMPLES = [[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]


class Network(nn.Module):
    """Weights are three times a wave of their position; `hidden` is an identity that shows an activation."""

    def __init__(self, shapes):
        super().__init__()
        self.p = {name: 3 * wave(k, *shape) for k, (name, shape) in enumerate(shapes.items())}
        self.hidden = nn.Identity()


class Mlp(Network):
    def __init__(self):
        super().__init__({"w1": [36, 8], "b1": [8], "w2": [8, 4], "b2": [4]})

    def forward(self, x):
        return self.hidden(torch.tanh(x.flatten(1) @ self.p["w1"] + self.p["b1"])) @ self.p["w2"] + self.p["b2"]


class Cnn(Network):
    def __init__(self):
        super().__init__({"w1": [3, 1, 3, 3], "b1": [3], "w2": [48, 4], "b2": [4]})

    def forward(self, x):
        x = self.hidden(F.relu(F.conv2d(x, self.p["w1"], self.p["b1"])))
        return x.flatten(1) @ self.p["w2"] + self.p["b2"]


class Lstm(Network):
    """Rows are the steps; gates i, f, g, o."""

    def __init__(self):
        super().__init__({"wx": [6, 20], "wh": [5, 20], "b": [20], "w2": [5, 4], "b2": [4]})

    def forward(self, x):
        x = x.flatten(0, 1)
        h, c = x.new_zeros(len(x), 5), x.new_zeros(len(x), 5)
        for t in range(6):
            i, f, g, o = (x[:, t] @ self.p["wx"] + h @ self.p["wh"] + self.p["b"]).split(5, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.hidden(h) @ self.p["w2"] + self.p["b2"]


class Transformer(Network):
    """Rows are the tokens: one head of attention with a residual, and the mean."""

    def __init__(self):
        super().__init__({"q": [6, 6], "k": [6, 6], "v": [6, 6], "w2": [6, 4], "b2": [4]})

    def forward(self, x):
        x = x.flatten(0, 1)
        q, k, v = (x @ self.p[name] for name in "qkv")
        x = x + torch.softmax(q @ k.transpose(1, 2) / 6**0.5, 2) @ v
        return self.hidden(torch.tanh(x).mean(1)) @ self.p["w2"] + self.p["b2"]


def given(tensors):
    """Perturbations for Captum, which asks for all samples at once, those of an example side by side."""
    stacked = torch.stack(tensors, 1).flatten(0, 1)
    return lambda *_: stacked


def tunnel(net, x, target, noise, kind):
    """Captum's noise tunnel with noise that is given."""
    draw, torch.normal = torch.normal, given(noise)
    try:
        return NoiseTunnel(Saliency(net)).attribute(x, nt_type=kind, nt_samples=len(noise), nt_samples_batch_size=None, target=target)
    finally:
        torch.normal = draw


def gradient_shap(net, x, target, noise, baselines):
    """Captum's GradientSHAP, its noise tunnel written out: one of Captum's inner attributions for each sample."""
    draw, total = numpy.random.uniform, 0
    try:
        for places, noise, baseline in zip(PLACES, noise, baselines):
            numpy.random.uniform = lambda *_: numpy.array(places)
            total = total + InputBaselineXGradient(net).attribute(x + noise, baseline, target=target)
    finally:
        numpy.random.uniform = draw
    return total / len(PLACES)


def permuted(net, x, groups, target):
    shuffles = iter(SHUFFLES)
    shuffle = lambda x, mask: torch.where(mask, x[next(shuffles)], x)
    return FeaturePermutation(net, shuffle).attribute(x, feature_mask=groups, target=target)


def explain_each(explain, x, target):
    return torch.cat([explain(x[i : i + 1], target[i : i + 1]) for i in range(len(x))])


def lime(net, model, similarity, x, baseline, groups, target):
    def one(x, target):
        samples = iter(SAMPLES)
        draw = lambda *_, **__: torch.tensor([next(samples)])
        method = Lime(net, interpretable_model=model(), similarity_func=similarity, perturb_func=draw)
        return method.attribute(x, baseline, feature_mask=groups, target=target, n_samples=len(SAMPLES))

    return explain_each(one, x, target)


def all_of_kernel_shap(net, x, baseline, groups, target):
    """Captum's regression over all coalitions, each as often as its weight says: 4 features in proportion 2 (sizes 1 and 3) to 1 (size 2)."""
    subsets = [s for s in itertools.product([0, 1], repeat=4) if 0 < sum(s) < 4]
    # (F − 1) / (C(F, s) s (F − s)): 3/12 for sizes 1 and 3, 3/24 for size 2.
    draws = [s for s in subsets for _ in range(1 if sum(s) == 2 else 2)]
    method = KernelShap(net)
    ends = [(1,) * 4, (0,) * 4]
    generator = iter(ends + draws)
    method.perturb_func = lambda *_, **__: torch.tensor([next(generator)])
    return method.attribute(x, baseline, feature_mask=groups, target=target, n_samples=len(ends + draws))


def hidden(net, x):
    seen = []
    handle = net.hidden.register_forward_hook(lambda _, __, y: seen.append(y))
    net(x)
    handle.remove()
    return seen[0]


def case(name, net):
    x, baseline = tensor(*SHAPE), tensor(1, *SHAPE[1:], scale=0.25)
    noise = [tensor(*SHAPE, scale=0.25) for _ in range(3)]
    target = torch.tensor(CLASSES)
    rows, columns = torch.meshgrid(torch.arange(6) // SIDE, torch.arange(6) // SIDE, indexing="ij")
    groups = (2 * rows + columns)[None, None]
    full = baseline.expand_as(x)
    integrated, gap = IntegratedGradients(net).attribute(x, full, target=target, n_steps=12, return_convergence_delta=True)
    shapley = ShapleyValueSampling(net)
    shapley.permutation_generator = lambda *_: [torch.tensor(order) for order in ORDERS]
    saliency = Saliency(net)
    occlude = lambda side, stride: Occlusion(net).attribute(x, (1, side, side), strides=(1, stride, stride), baselines=full, target=target)
    # Captum wants of the perturbations what they are and what becomes of the input.
    perturb = lambda inputs, *_: (given(noise)(), inputs - given(noise)())
    # What it gives must be a tuple, or Captum takes its examples for tensors.
    explain = lambda inputs, target: (saliency.attribute(inputs[0] if isinstance(inputs, tuple) else inputs, target=target),)
    others = [baseline, noise[0][:1], noise[1][:1]]
    unit = tuple(int(i) for i in numpy.unravel_index(UNIT, hidden(net, x).shape[1:]))
    results = dict(
        saliency=saliency.attribute(x, target=target),
        input_x_gradient=InputXGradient(net).attribute(x, target=target),
        integrated_gradients=integrated,
        gap=gap,
        smooth_grad=tunnel(net, x, target, noise, "smoothgrad"),
        smooth_grad_squared=tunnel(net, x, target, noise, "smoothgrad_sq"),
        var_grad=tunnel(net, x, target, noise, "vargrad"),
        feature_ablation=FeatureAblation(net).attribute(x, full, feature_mask=groups, target=target),
        occlusion=occlude(3, 3),
        occlusion_overlapping=occlude(4, 2),
        occlusion_over_the_edge=occlude(4, 3),
        shapley_sampling=shapley.attribute(x, full, feature_mask=groups, n_samples=3, target=target),
        layer_activation=LayerActivation(net, net.hidden).attribute(x).flatten(1),
        layer_conductance=LayerConductance(net, net.hidden).attribute(x, full, target=target, n_steps=12).flatten(1),
        gradient_shap=gradient_shap(net, x, target, noise, others),
        feature_permutation=permuted(net, x, groups, target),
        shapley_values=ShapleyValues(net).attribute(x, full, feature_mask=groups, target=target),
        kernel_shap=explain_each(lambda x, t: all_of_kernel_shap(net, x, baseline, groups, t), x, target),
        lime_cosine=lime(net, SkLearnLinearRegression, get_exp_kernel_similarity_function("cosine", 0.5), x, baseline, groups, target),
        lime_euclidean=lime(net, lambda: SkLearnRidge(alpha=0.25), get_exp_kernel_similarity_function("euclidean", 3.0), x, baseline, groups, target),
        neuron_gradient=NeuronGradient(net, net.hidden).attribute(x, unit),
        neuron_conductance=NeuronConductance(net, net.hidden).attribute(x, unit, full, target=target, n_steps=12, method="gausslegendre"),
        infidelity=infidelity(net, perturb, x, integrated, target=target, n_perturb_samples=3),
        sensitivity_max=sensitivity_max(
            explain, x, lambda inputs: inputs + given(noise)(), target=target, n_perturb_samples=3),
    )
    return dict(name=name, x=x, baseline=baseline, noise=torch.stack(noise), results={key: value.detach() for key, value in results.items()})


def write():
    torch.manual_seed(8)
    networks = {"mlp": Mlp(), "cnn": Cnn(), "lstm": Lstm(), "transformer": Transformer()}
    write_fixture("fornax-explain", "explain", [case(name, net) for name, net in networks.items()])


if __name__ == "__main__":
    write()
