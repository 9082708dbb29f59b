"""Writes every fixture of reference values: `python reference/generate.py`, with `reference/requirements.txt` installed.

PyTorch computes in float64 on inputs that float32 holds exactly; results are rounded to 12 digits. The same versions give the same files.
"""

import architectures
import attention
import audio
import bert
import bleu
import explain
import explain_attention
import explain_probe
import explain_rules
import forecaster
import layers
import lbfgs
import llama
import optimizers
import privacy
import recurrent
import recurrent_variants
import relative
import rules
import schedules
import seq2seq
import sequence_losses
import sequence_models
import sequences
import silero_vad
import text_cnn
import transformer
import wrappers

if __name__ == "__main__":
    layers.write()
    optimizers.write()
    rules.write()
    lbfgs.write()
    schedules.write()
    architectures.write()
    recurrent.write()
    attention.write()
    architectures.write_transformers()
    wrappers.write()
    audio.write()
    forecaster.write()
    sequences.write()
    sequence_losses.write()
    sequence_models.write()
    seq2seq.write()
    bert.write()
    bleu.write()
    transformer.write()
    llama.write()
    recurrent_variants.write()
    relative.write()
    silero_vad.write()
    text_cnn.write()
    privacy.write()
    explain.write()
    explain_rules.write()
    explain_attention.write()
    explain_probe.write()
