"""Sound: a small recording made by formula, in every WAV format, and what torchaudio and librosa make of it.

`write_recordings(archive)` adds numbers of real recordings (FSDD, of which nothing but these numbers is kept).
"""

import io
import json
import sys
import tarfile
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
import torchaudio.functional as AF
import torchaudio.transforms as AT
from fixture import CRATES, encode

HERE = CRATES / "fornax-data" / "tests" / "reference"
RATE = 8000


def speech_like(n=3000):
    """A chirp, a buzz of 110 Hz under three formants that move, and a hiss that comes and goes: multiples of 1/32768."""
    t = np.arange(n) / RATE
    chirp = 0.2 * np.sin(2 * np.pi * (200 * t + 2500 * t**2))
    buzz = sum(np.exp(-(((110 * k - f) / 150) ** 2)) * np.sin(2 * np.pi * 110 * k * t + k) for k in range(1, 34) for f in (500, 1500, 2500))
    state, hiss = 1, []
    for _ in range(n):
        state = (1103515245 * state + 12345) % 2**31
        hiss.append(state / 2**30 - 1)
    x = chirp + 0.12 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)) + 0.05 * np.array(hiss) * (np.sin(2 * np.pi * 3 * t) > 0)
    return np.round(np.clip(x, -0.99, 0.99) * 32768) / 32768


def features(x, rate):
    """In float64, `[T, D]`; filters are made in float32 by both libraries."""
    wave = torch.tensor(x, dtype=torch.float64)
    small = dict(n_fft=256, win_length=200, hop_length=80)
    spectrum = torch.stft(wave, window=torch.hann_window(200, dtype=torch.float64), return_complex=True, **small)
    mel = lambda **more: AT.MelSpectrogram(rate, **more).double()(wave).T
    mfcc = lambda **more: AT.MFCC(rate, **more).double()(wave).T
    few = np.asarray(x, dtype=np.float64)
    mel_librosa = librosa.feature.melspectrogram(y=few, sr=rate)
    return {
        "stft": torch.view_as_real(spectrum.T).flatten(1),
        "power_torchaudio": AT.Spectrogram().double()(wave).T,
        "power_librosa": torch.tensor(np.abs(librosa.stft(few, n_fft=512)) ** 2).T,
        "mel_torchaudio": mel(),
        "mel_librosa": torch.tensor(mel_librosa).T,
        "mel_slaney_torchaudio": mel(n_fft=256, hop_length=100, n_mels=40, f_min=50.0, f_max=3500.0, mel_scale="slaney", norm="slaney"),
        "mel_htk_librosa": torch.tensor(librosa.feature.melspectrogram(y=few, sr=rate, n_fft=512, n_mels=40, htk=True, norm=None, center=False)).T,
        "decibel_librosa": torch.tensor(librosa.power_to_db(mel_librosa)).T,
        "mfcc_torchaudio": mfcc(),
        "mfcc_natural_torchaudio": mfcc(n_mfcc=13, log_mels=True, melkwargs=dict(n_fft=256, hop_length=100, n_mels=26)),
        "mfcc_librosa": torch.tensor(librosa.feature.mfcc(y=few, sr=rate)).T,
        "deltas_torchaudio": AF.compute_deltas(mfcc().T, 5).T,
    }


def digest(x, step):
    """Shape, largest value and every `step`-th element."""
    x = x.contiguous()
    return dict(shape=list(x.shape), largest=x.abs().max().item(), step=step, samples=[float(f"{v:.9g}") for v in x.flatten()[::step].tolist()])


def resampled(x):
    wave = torch.tensor(x, dtype=torch.float64)
    return {str(rate): digest(AF.resample(wave, RATE, rate), 7) for rate in (16000, 4000, 11025, 7999)}


def write():
    HERE.mkdir(parents=True, exist_ok=True)
    x = speech_like()
    soundfile.write(HERE / "speech.wav", x, RATE, subtype="PCM_16")
    # A short stretch in every format; the second channel is the first, backwards and half as loud.
    part = x[1000:1060]
    both = np.stack([part, part[::-1] / 2], 1)
    formats = {}
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"):
        for name, data, rate in (("mono", part, 44100), ("stereo", both, 96000)):
            file = f"{subtype.lower()}_{name}.wav"
            soundfile.write(HERE / file, data, rate, subtype=subtype)
            back, _ = soundfile.read(HERE / file, dtype="float64", always_2d=True)
            formats[file] = dict(rate=rate, samples=[float(f"{v:.9g}") for v in back.mean(1)])
    out = dict(generator="reference/audio.py, torchaudio 2.9.0, librosa 0.11.0", formats=formats,
               features={name: digest(value, 5) for name, value in features(x, RATE).items()}, resampled=resampled(x))
    (HERE / "audio.json").write_text(json.dumps(encode(out), separators=(",", ":")) + "\n")
    print("audio.json", (HERE / "audio.json").stat().st_size)


def write_recordings(archive):
    names = ["0_george_10.wav", "7_nicolas_20.wav", "3_yweweler_49.wav"]
    out = {}
    with tarfile.open(archive) as files:
        for name in names:
            x, rate = soundfile.read(io.BytesIO(files.extractfile(name).read()), dtype="float64")
            out[name] = dict(rate=rate, count=len(x), features={k: digest(v, 97) for k, v in features(x, rate).items()},
                             resampled={"16000": digest(AF.resample(torch.tensor(x), rate, 16000), 97)})
    (HERE / "recordings.json").write_text(json.dumps(encode(out), separators=(",", ":")) + "\n")
    print("recordings.json", (HERE / "recordings.json").stat().st_size)


if __name__ == "__main__":
    write()
    if len(sys.argv) > 1:
        write_recordings(Path(sys.argv[1]))
