"""Golden vectors of Nyström attention, forward and backward, from two implementations.

    python make_nystrom.py    writes data/nystrom.txt

Projections are left out of both. Where they agree with the definition: sequences that are a multiple
of the landmarks long; in nystrom-attention a single matrix, since it divides by the greatest norms of
all of them; in transformers not as many landmarks as tokens, where it computes exact attention.
"""

import importlib.metadata

import nystrom_attention
import torch
import transformers
from transformers.models.nystromformer import modeling_nystromformer as nystromformer

from golden_file import File

file = File("nystrom", f"PyTorch {torch.__version__}, transformers {transformers.__version__}, "
                       f"nystrom-attention {importlib.metadata.version('nystrom-attention')}")


def example(name, batch, heads, n, d, landmarks, attend, convolution=0):
    inputs = {label: file.normal(batch, heads, n, d) for label in ("q", "k", "v", "d_o")}
    inputs["landmarks"] = torch.tensor([landmarks])
    if convolution > 0:
        inputs["w"] = file.normal(heads, convolution)

    def compute(given):
        leaves = [label for label in ("q", "k", "v", "w") if label in given]
        leaf = {label: value.clone().requires_grad_(label in leaves)
                for label, value in given.items()}
        o = attend(leaf, landmarks)
        gradients = torch.autograd.grad(o, [leaf[label] for label in leaves], given["d_o"])
        return {"o": o.detach()} | {f"d_{label}": g for label, g in zip(leaves, gradients)}

    file.example(name, inputs, compute)


def side_by_side(x):
    batch, heads, n, d = x.shape
    return x.transpose(1, 2).reshape(batch, n, heads * d)


def by_transformers(given, landmarks):
    """NystromformerSelfAttention, whose projections are replaced by what they should give."""
    batch, heads, n, d = given["q"].shape
    config = transformers.NystromformerConfig(
        hidden_size=heads * d, num_attention_heads=heads, num_landmarks=landmarks,
        segment_means_seq_len=n,
        conv_kernel_size=given["w"].shape[1] if "w" in given else 1)
    module = nystromformer.NystromformerSelfAttention(config)
    module.init_option = "a matrix at a time"
    for label, name in (("q", "query"), ("k", "key"), ("v", "value")):
        delattr(module, name)
        setattr(module, name, lambda _, label=label: side_by_side(given[label]))
    if "w" not in given:
        module.conv_kernel_size = None
    else:
        weights = given["w"].reshape(heads, 1, -1, 1)
        del module.conv
        module.conv = lambda v: torch.nn.functional.conv2d(
            v, weights, padding=(weights.shape[2] // 2, 0), groups=heads)
    o = module(side_by_side(given["q"]))[0]
    return o.reshape(batch, n, heads, d).transpose(1, 2)


def by_nystrom_attention(given, landmarks):
    batch, heads, n, d = given["q"].shape
    module = nystrom_attention.NystromAttention(
        dim=heads * d, dim_head=d, heads=heads, num_landmarks=landmarks, residual="w" in given,
        residual_conv_kernel=given["w"].shape[1] if "w" in given else 33)
    del module.to_qkv, module.to_out
    module.to_qkv = lambda _: torch.cat([side_by_side(given[label]) for label in "qkv"], dim=-1)
    module.to_out = lambda x: x
    if "w" in given:
        weights = given["w"].reshape(heads, 1, -1, 1)
        del module.res_conv
        module.res_conv = lambda v: torch.nn.functional.conv2d(
            v, weights, padding=(weights.shape[2] // 2, 0), groups=heads)
    o = module(side_by_side(given["q"]))
    return o.reshape(batch, n, heads, d).transpose(1, 2)


example("transformers", 2, 2, 24, 4, 6, by_transformers)
example("transformers_convolution", 1, 3, 15, 5, 3, by_transformers, convolution=5)
example("nystrom_attention", 1, 1, 28, 5, 7, by_nystrom_attention)
example("nystrom_attention_convolution", 1, 1, 20, 4, 5, by_nystrom_attention, convolution=7)

file.write()
