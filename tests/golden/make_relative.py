"""Golden vectors of attention with relative positions, forward and backward. Needs torch:

    python make_relative.py    writes data/relative.txt
"""

import math

import torch

from golden_file import File
from torch_attention import attention, causal, forward_and_backward, positions

file = File("relative", f"PyTorch {torch.__version__}")


def tensors(batch, heads, kv_heads, queries, keys, dim):
    return {"q": file.normal(batch, heads, queries, dim),
            "k": file.normal(batch, kv_heads, keys, dim),
            "v": file.normal(batch, kv_heads, keys, dim),
            "d_o": file.normal(batch, heads, queries, dim)}


def clipped(queries, keys, reach):
    """clip(j - i, -R, R) + R, [queries, keys]."""
    i, j = positions(queries, keys)
    return torch.clamp(j - i, -reach, reach) + reach


def shaw(x):
    """Shaw et al.: the key of query i and key j is k_j + r_(j - i)."""
    queries, keys, dim = x["q"].shape[2], x["k"].shape[2], x["q"].shape[3]
    r = x["r"][clipped(queries, keys, x["r"].shape[0] // 2)]  # [queries, keys, dim]
    relative = torch.einsum("bhid,ijd->bhij", x["q"], r) / math.sqrt(dim)
    return attention(x["q"], x["k"], x["v"], modify=lambda s: s + relative,
                     visible=causal(queries, keys) if x["causal"].item() else None)


def biased(x):
    """A number for each head and i - j, table [2R + 1, heads or 1]."""
    queries, keys = x["q"].shape[2], x["k"].shape[2]
    reach = x["table"].shape[0] // 2
    numbers = x["table"][2 * reach - clipped(queries, keys, reach)].permute(2, 0, 1)
    return attention(x["q"], x["k"], x["v"], modify=lambda s: s + numbers,
                     visible=causal(queries, keys) if x["causal"].item() else None)


def example(name, function, learned, parameter, inputs, is_causal):
    inputs |= {learned: parameter, "causal": torch.tensor([is_causal])}
    file.example(name, inputs, forward_and_backward(function, [learned]))


example("keys", shaw, "r", file.normal(5, 5), tensors(2, 2, 2, 7, 7, 5), False)
example("keys_causal_grouped", shaw, "r", file.normal(7, 4), tensors(1, 4, 2, 5, 11, 4), True)
example("keys_of_one_distance", shaw, "r", file.normal(1, 3), tensors(1, 2, 1, 5, 7, 3), False)
example("keys_far", shaw, "r", file.normal(45, 4), tensors(1, 1, 1, 6, 41, 4), True)
example("bias", biased, "table", file.normal(5, 2), tensors(2, 2, 1, 7, 7, 4), False)
example("bias_of_all_heads", biased, "table", file.normal(7, 1), tensors(1, 2, 1, 5, 11, 4), True)

file.write()
