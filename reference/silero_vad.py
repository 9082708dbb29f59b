"""Silero VAD: probabilities and states of a plain PyTorch model with seeded weights, for the fixture; and a comparison of the published weights.

    python reference/silero_vad.py FORNAX silero_vad-6.2.3-py3-none-any.whl WAV...

prints, for each WAV at its own rate and each kind of weights, the largest difference between the probabilities of `FORNAX vad --json` and of
onnxruntime on the published graph, and whether the segments are those of the package. The published ONNX and safetensors files are different
checkpoints, and only the first is for 8,000 samples a second too. So for safetensors at 16,000 their tensors are put into the published graph, and at
8,000 those of the ONNX file are written as safetensors under the published names.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

GOLDEN, MASK = 0x9E37_79B9_7F4A_7C15, (1 << 64) - 1
# The published names: safetensors, ONNX.
NAMES = {"stft_conv.weight": "stft.forward_basis_buffer", "final_conv.weight": "decoder.decoder.2.weight", "final_conv.bias": "decoder.decoder.2.bias"}
NAMES |= {f"conv{i + 1}.{kind}": f"encoder.{i}.reparam_conv.{kind}" for i in range(4) for kind in ["weight", "bias"]}
NAMES |= {f"lstm_cell.{kind}": f"decoder.rnn.{kind}" for kind in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]}
BAR = 1e-4


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB) & MASK
    return x ^ (x >> 31)


def uniform(seed, bound, *shape):
    """`bound (2u − 1)` with u = `fornax_kernels::random::Key::new(seed).uniform(i)`, rounded to float32."""
    key = mix(seed ^ 0x464F_524E_4158_0001)
    values = [(mix((key + (i + 1) * GOLDEN) & MASK) >> 11) / 2**53 for i in range(int(np.prod(shape)))]
    return torch.tensor([bound * (2 * u - 1) for u in values]).float().double().reshape(shape)


def basis(size):
    n, k = torch.arange(size).double(), torch.arange(size // 2 + 1).double()
    angle, window = 2 * torch.pi * k[:, None] * n / size, torch.sin(torch.pi * n / size) ** 2
    return torch.cat([torch.cos(angle) * window, -torch.sin(angle) * window])[:, None]


def shapes(size):
    sizes = [(128, size // 2 + 1), (64, 128), (64, 64), (128, 64)]
    convolutions = {f"conv{i + 1}.{kind}": shape for i, (o, n) in enumerate(sizes) for kind, shape in [("weight", (o, n, 3)), ("bias", (o,))]}
    cell = {"lstm_cell.weight_ih": (512, 128), "lstm_cell.weight_hh": (512, 128), "lstm_cell.bias_ih": (512,), "lstm_cell.bias_hh": (512,)}
    return convolutions | cell | {"final_conv.weight": (1, 128, 1), "final_conv.bias": (1,)}


def forward(p, x):
    """Probabilities [B, T] of samples [B, S], and the last h and c."""
    size = p["stft_conv.weight"].shape[2]
    chunk, kept, state, probabilities = 2 * size, size // 4, None, []
    x = F.pad(x, (kept, 0))
    for start in range(0, x.shape[1] - kept, chunk):
        y = F.pad(x[:, None, start : start + kept + chunk], (0, kept), "reflect")
        re, im = F.conv1d(y, p["stft_conv.weight"], stride=size // 2).chunk(2, 1)
        y = (re**2 + im**2).sqrt()
        for i, stride in enumerate([1, 2, 2, 1]):
            y = F.relu(F.conv1d(y, p[f"conv{i + 1}.weight"], p[f"conv{i + 1}.bias"], stride, 1))
        state = torch.lstm_cell(y[..., 0], state or [y.new_zeros(len(y), 128)] * 2, *[p[f"lstm_cell.{k}"] for k in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]])
        logit = F.conv1d(F.relu(state[0])[..., None], p["final_conv.weight"], p["final_conv.bias"])
        probabilities.append(torch.sigmoid(logit)[..., 0])
    return torch.cat(probabilities, 1), state


def write():
    from fixture import write as write_fixture

    cases = []
    for rate, size in [(16_000, 256), (8000, 128)]:
        weights = [{"name": name, "shape": list(shape), "seed": seed, "bound": 4.0 if name == "final_conv.weight" else 0.125} for seed, (name, shape) in enumerate(shapes(size).items(), 1)]
        p = {w["name"]: uniform(w["seed"], w["bound"], *w["shape"]) for w in weights} | {"stft_conv.weight": basis(size)}
        x = uniform(99, 1.0, 2, 5 * 2 * size)
        # Louder from chunk to chunk.
        gains = torch.tensor([0.0, 0.125, 0.5, 1.0, 0.25]).double()
        x = x * gains.repeat_interleave(2 * size)
        probabilities, (h, c) = forward(p, x)
        cases.append(dict(name=f"{rate}", rate=rate, weights=weights, gains=gains, probabilities=probabilities, h=h, c=c))
    write_fixture("fornax-architectures", "silero_vad", cases)


def published(data, rate):
    """The tensors of the ONNX file for one rate, under the names of the safetensors file."""
    import onnx

    branch = next(n for n in onnx.load(data / "silero_vad.onnx").graph.node if n.op_type == "If")
    graph = next(a.g for a in branch.attribute if a.name == ("then_branch" if rate == 16_000 else "else_branch"))
    constants = {n.output[0]: n.attribute[0].t for n in graph.node if n.op_type == "Constant"}
    find = lambda name: next(onnx.numpy_helper.to_array(t) for key, t in constants.items() if key.endswith(name))
    return {ours: find(theirs) for ours, theirs in NAMES.items()}


def with_weights(data, tensors):
    """The published graph for 16,000 samples a second with other weights."""
    import onnx

    model = onnx.load(data / "silero_vad_16k_op15.onnx")
    replaced = 0
    for initializer in model.graph.initializer:
        for ours, theirs in NAMES.items():
            if initializer.name.endswith(theirs):
                initializer.CopyFrom(onnx.numpy_helper.from_array(tensors[ours], initializer.name))
                replaced += 1
    assert replaced == len(NAMES), replaced
    return model.SerializeToString()


def onnxruntime_probabilities(model, samples, rate):
    """Chunk by chunk as the package's own wrapper, with context and state carried."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    chunk, kept = rate * 4 // 125, rate // 250
    samples = np.pad(samples, (kept, -len(samples) % chunk)).astype(np.float32)
    state, found = np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(samples) - kept, chunk):
        p, state = session.run(None, {"input": samples[None, start : start + kept + chunk], "state": state, "sr": np.array(rate)})
        found.append(p[0, 0])
    return np.array(found)


def compare(fornax, wheel, wavs):
    import soundfile
    from safetensors.numpy import load_file, save_file

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        zipfile.ZipFile(wheel).extractall(folder)
        data, worst = folder / "silero_vad" / "data", 0.0
        sys.path.insert(0, str(folder))
        from silero_vad.utils_vad import get_speech_timestamps_from_probs

        save_file(published(data, 8000), folder / "8k.safetensors")
        swapped = with_weights(data, load_file(data / "silero_vad_16k.safetensors"))
        for wav in wavs:
            samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
            samples = samples.mean(1)
            if rate not in (8000, 16_000):
                import torchaudio

                samples, rate = torchaudio.functional.resample(torch.from_numpy(samples), rate, 16_000).numpy(), 16_000
            kinds = [("ONNX", data / "silero_vad.onnx", str(data / "silero_vad.onnx"))]
            kinds += [("safetensors", data / "silero_vad_16k.safetensors", swapped) if rate == 16_000 else ("safetensors", folder / "8k.safetensors", str(data / "silero_vad.onnx"))]
            for kind, weights, model in kinds:
                expected = onnxruntime_probabilities(model, samples, rate)
                ours = json.loads(subprocess.run([fornax, "vad", wav, "--weights", weights, "--json"], check=True, capture_output=True, text=True).stdout.splitlines()[-1])
                assert ours["rate"] == rate and len(ours["probabilities"]) == len(expected), (ours["rate"], len(ours["probabilities"]), len(expected))
                difference = float(np.abs(np.array(ours["probabilities"]) - expected).max())
                segments = get_speech_timestamps_from_probs(expected.tolist(), sampling_rate=rate, audio_length_samples=len(samples))
                same = [(s["start_sample"], s["end_sample"]) for s in ours["segments"]] == [(s["start"], s["end"]) for s in segments]
                print(f"{wav}: {kind}, {rate} a second, {len(expected)} chunks from {expected.min():.4f} to {expected.max():.4f}: "
                      f"at most {difference:.1e} apart, {len(segments)} segments {'the same' if same else 'DIFFERENT'}")
                worst = max(worst, difference)
                assert same, "other segments than the package's"
        print(f"largest difference {worst:.1e}, allowed {BAR:.0e}")
        assert worst <= BAR


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    compare(sys.argv[1], sys.argv[2], sys.argv[3:])
