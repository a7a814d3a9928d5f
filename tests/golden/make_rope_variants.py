"""Golden vectors of every rope_type that transformers computes, and of its rotations by axes.

    python make_rope_variants.py    writes data/rope_variants.txt

An example's name is its type, then "/" and what is special about it; its inputs are the fields of
rope_parameters, and head_dim, max_position_embeddings and length beside them. A field of such a
name has "field_" before it.
"""

import types

import torch
import transformers
from transformers import LlamaConfig, modeling_rope_utils
from transformers.models.hunyuan_v1_dense import modeling_hunyuan_v1_dense
from transformers.models.llama import modeling_llama
from transformers.models.phimoe import modeling_phimoe
from transformers.models.qwen2_vl import modeling_qwen2_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl

from golden_file import File

file = File("rope_variants", f"PyTorch {torch.__version__}, transformers {transformers.__version__}")


class InDouble:
    """torch, as modeling_rope_utils sees it, with float64 wherever it asks for float32."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def of_hunyuan(fields, head_dim, exact):
    """A fixed alpha, with which HunYuan's "dynamic" stretches the base once for all lengths."""
    config = types.SimpleNamespace(head_dim=head_dim, rope_parameters=fields)
    modeling_hunyuan_v1_dense.torch = InDouble() if exact else torch
    found = modeling_hunyuan_v1_dense.HunYuanDenseV1RotaryEmbedding
    result = found.compute_ntk_alpha_rope_parameters(config)
    modeling_hunyuan_v1_dense.torch = torch
    return result


def phimoe_factor(config, length):
    """What PhiMoE multiplies a rotation by at a length: its cosine at position 0."""
    rotary = modeling_phimoe.PhimoeRotaryEmbedding(config)
    cos, _ = rotary(torch.zeros(1, dtype=torch.float64), torch.tensor([[0, length - 1]]))
    return cos[0, 0, 0].item()


def frequencies(rope_type, fields, head_dim, max_position_embeddings, length, exact):
    config = LlamaConfig(head_dim=head_dim, max_position_embeddings=max_position_embeddings,
                         rope_parameters={"rope_type": rope_type, **fields})
    modeling_rope_utils.torch = InDouble() if exact else torch
    angular, factor = modeling_rope_utils.ROPE_INIT_FUNCTIONS[rope_type](
        config, seq_len=length or None)
    modeling_rope_utils.torch = torch
    if "alpha" in fields:
        angular, factor = of_hunyuan(fields, head_dim, exact)
    if "long_mscale" in fields:
        factor = phimoe_factor(config, length)
    return {"frequencies": angular, "attention_factor": torch.tensor([factor], dtype=torch.float64)}


def example(name, head_dim, max_position_embeddings=4096, length=0, inside={}, **fields):
    fields = {"rope_theta": 10000.0} | fields | inside
    beside = {"head_dim": head_dim, "max_position_embeddings": max_position_embeddings,
              "length": length}
    named = {f"field_{label}" if label in beside else label: x for label, x in fields.items()}
    inputs = {label: torch.tensor(x if isinstance(x, list) else [x], dtype=torch.float64)
              for label, x in (named | beside).items()}

    def compute(given):
        exact = given["head_dim"].dtype == torch.float64
        found = frequencies(name.split("/")[0], fields, head_dim, max_position_embeddings, length,
                            exact)
        return {f"expected_{label}": x for label, x in found.items()}

    file.example(name, inputs, compute)


example("linear/plain", 16, factor=4.0)
example("linear/partial", 32, factor=2.5, rope_theta=500000.0, partial_rotary_factor=0.5)
example("dynamic/short", 16, 2048, 100, factor=4.0)
example("dynamic/long", 16, 2048, 8192, factor=4.0)
example("dynamic/partial", 32, 2048, 3000, factor=2.0, partial_rotary_factor=0.25)

yarn = {"factor": 8.0, "original_max_position_embeddings": 4096}
example("yarn/usual", 64, 32768, **yarn)
example("yarn/not_truncated", 64, 32768, truncate=False, **yarn)
example("yarn/betas", 64, 32768, beta_fast=24.0, beta_slow=3.0, rope_theta=150000.0, **yarn)
example("yarn/attention_factor", 16, 32768, attention_factor=1.25, **yarn)
example("yarn/mscale", 64, 163840, factor=40.0, original_max_position_embeddings=4096, mscale=0.75,
        mscale_all_dim=1.0)
example("yarn/partial", 64, 32768, partial_rotary_factor=0.5, **yarn)
example("yarn/short_original", 32, 512, factor=4.0, original_max_position_embeddings=128)

# As released models have them: Kimi K2, DeepSeek's older ones, Yarn-Llama 2, Ministral 3.
example("yarn/step", 64, 131072, factor=32.0, original_max_position_embeddings=4096, beta_fast=1.0,
        beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, rope_theta=50000.0)
example("yarn/step_not_truncated", 64, 131072, factor=32.0, original_max_position_embeddings=4096,
        beta_fast=4.0, beta_slow=4.0, truncate=False)
example("yarn/mscale_alone", 64, 163840, factor=40.0, original_max_position_embeddings=4096,
        mscale=1.0)
example("yarn/mscale_all_dim_alone", 64, 163840, factor=40.0,
        original_max_position_embeddings=4096, mscale_all_dim=0.75)
example("yarn/mscale_all_dim_0", 64, 163840, factor=40.0, original_max_position_embeddings=4096,
        mscale=0.75, mscale_all_dim=0.0)
example("yarn/mscale_0", 64, 163840, factor=40.0, original_max_position_embeddings=4096,
        mscale=0.0, mscale_all_dim=1.0)
example("yarn/finetuned", 128, 65536, factor=16.0, original_max_position_embeddings=4096,
        finetuned=True)
example("yarn/max_position_embeddings", 128, 131072, factor=16.0, rope_theta=1000000.0,
        original_max_position_embeddings=16384, beta_fast=32.0, beta_slow=1.0, mscale=1.0,
        mscale_all_dim=1.0, inside={"max_position_embeddings": 262144})

longrope = {"original_max_position_embeddings": 4096, "short_factor": [1.0, 1.25, 1.5, 2.0],
            "long_factor": [1.0, 3.5, 8.0, 40.0]}
example("longrope/short", 8, 131072, 4096, **longrope)
example("longrope/long", 8, 131072, 4097, **longrope)
example("longrope/factor", 8, 131072, 5000, factor=16.0, **longrope)
example("longrope/attention_factor", 8, 131072, 5000, attention_factor=1.25, **longrope)
# PhiMoE's
example("longrope/long_mscale", 8, 131072, 5000, short_mscale=1.125, long_mscale=1.25, **longrope)
example("longrope/short_mscale", 8, 131072, 4096, short_mscale=1.125, long_mscale=1.25, **longrope)

example("llama3/usual", 128, 131072, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8192, rope_theta=500000.0)
example("llama3/small", 64, 131072, factor=32.0, low_freq_factor=2.0, high_freq_factor=16.0,
        original_max_position_embeddings=2048)
# Llama 4's
example("llama3/step", 128, 131072, factor=16.0, low_freq_factor=1.0, high_freq_factor=1.0,
        original_max_position_embeddings=8192, rope_theta=500000.0)
example("llama3/step_at_3", 64, 131072, factor=8.0, low_freq_factor=3.0, high_freq_factor=3.0,
        original_max_position_embeddings=4096)

# HunYuan's
example("dynamic/alpha", 128, 32768, 50000, factor=1.0, alpha=1000.0, beta_fast=32.0,
        beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0)

example("proportional/quarter", 32, partial_rotary_factor=0.25, rope_theta=1000000.0)
example("proportional/odd", 14, partial_rotary_factor=0.4, factor=8.0)


def axes_example(name, x, positions, sections, angles):
    """angles(positions [axes, sequence], frequencies) are those of all pairs, [sequence, pairs]."""
    inputs = {"x": x, "positions": positions.T.contiguous(),
              "sections": torch.tensor(sections, dtype=torch.float64)}

    def compute(given):
        x = given["x"]
        table = [angles(f).to(x.dtype) for f in (torch.cos, torch.sin)]
        y, _ = modeling_llama.apply_rotary_pos_emb(x, x, *table)
        return {"y": y}

    file.example(name, inputs, compute)


def ladder(dim):
    return 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)


def bands(model, positions, sections, dim):
    """M-RoPE's tables: those of each axis, put together by the model's own function."""
    rotary = types.SimpleNamespace(mrope_section=sections)
    each = positions[:, None, :, None] * ladder(dim)
    return lambda f: model.recomposition_frequencies(rotary, f(each).clone())


volume = torch.stack([torch.tensor([0.0, 0, 1, 1, 2, 7]), torch.tensor([0.0, 1, 0, 1, 5, 7]),
                      torch.tensor([0.0, 2, 3, 0, 9, 7])]).double()
x = file.normal(1, 2, 6, 16)
axes_example("axes/sections", x, volume, [2, 3, 3],
             bands(modeling_qwen2_vl.Qwen2VLRotaryEmbedding, volume, [2, 3, 3], 16))
axes_example("axes/interleaved_sections", x, volume, [4, 2, 2],
             bands(modeling_qwen3_vl.Qwen3VLTextRotaryEmbedding, volume, [4, 2, 2], 16))


def vision(positions, dim):
    """A full ladder an axis, as the vision towers have it."""
    each = positions.T[..., None] * ladder(dim)
    put_together = modeling_qwen2_vl.Qwen2VLVisionRotaryEmbedding.recomposition_frequencies
    return lambda f: put_together(None, f(each))[None]


axes_example("axes/axial", x, volume[:2], [8, 8], vision(volume[:2], 8))

file.write()
