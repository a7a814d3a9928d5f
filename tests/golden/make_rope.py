"""Golden vectors of rotary positions: rotation alone, and in attention, forward and backward.

    python make_rope.py    writes data/rope.txt
"""

import torch
import transformers
from transformers.models.gptj import modeling_gptj
from transformers.models.llama import modeling_llama

from golden_file import File
from torch_attention import attention, causal, forward_and_backward

file = File("rope", f"PyTorch {torch.__version__}, transformers {transformers.__version__}")


def angles(position, dim, base, dtype):
    """In float64 for both precisions, so that only the rotation itself differs."""
    theta = base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = position.double()[:, None] * theta
    return angle.sin().to(dtype), angle.cos().to(dtype)


def rotate(x, position, dim, base, interleaved):
    """Rotates the first `dim` dimensions of x [B, H, N, d]."""
    turned, kept = x[..., :dim], x[..., dim:]
    sine, cosine = angles(position, dim, base, x.dtype)
    if interleaved:  # GPT-J: [batch, sequence, head, dim], a sine a pair
        turned = modeling_gptj.apply_rotary_pos_emb(
            turned.transpose(1, 2), sine[None], cosine[None]).transpose(1, 2)
    else:  # Llama: a sine a dimension
        sine, cosine = (torch.cat([t, t], dim=-1)[None] for t in (sine, cosine))
        turned, _ = modeling_llama.apply_rotary_pos_emb(turned, turned, cosine, sine)
    return torch.cat([turned, kept], dim=-1)


def description(dim, base, interleaved):
    return {"dim": torch.tensor([dim]), "base": torch.tensor([base]),
            "interleaved": torch.tensor([int(interleaved)])}


def rotation_example(name, x, position, dim, base, interleaved):
    inputs = {"x": x, "d_y": file.normal(*x.shape), "positions": position}

    def compute(given):
        leaf = given["x"].clone().requires_grad_()
        y = rotate(leaf, position, dim, base, interleaved)
        (d_x,) = torch.autograd.grad(y, leaf, given["d_y"])
        return {"y": y, "d_x": d_x}

    file.example(name, inputs | description(dim, base, interleaved), compute)


far = torch.tensor([0.0, 1, 2.5, -3, 1000, 4095.75, 65536], dtype=torch.float64)
near = torch.arange(5, dtype=torch.float64)
rotation_example("rotate_halves", file.normal(1, 2, 5, 8), near, 8, 10000, False)
rotation_example("rotate_interleaved", file.normal(1, 2, 5, 8), near, 8, 10000, True)
rotation_example("rotate_halves_in_part", file.normal(1, 1, 5, 11), near, 6, 10000, False)
rotation_example("rotate_interleaved_in_part", file.normal(1, 1, 5, 11), near, 6, 10000, True)
rotation_example("rotate_at_positions", file.normal(1, 1, 7, 10), far, 10, 500, False)


def attention_example(name, heads, kv_heads, queries, keys, width, dim, base, interleaved,
                      at=None):
    inputs = {"q": file.normal(1, heads, queries, width),
              "k": file.normal(1, kv_heads, keys, width),
              "v": file.normal(1, kv_heads, keys, 5),
              "d_o": file.normal(1, heads, queries, 5)}
    at_query = torch.arange(queries, dtype=torch.float64) + keys - queries
    at_key = torch.arange(keys, dtype=torch.float64)
    visible = causal(queries, keys)
    if at is not None:
        at_query, at_key, visible = at[0], at[1], None
        inputs |= {"query_positions": at_query, "key_positions": at_key}

    def function(x):
        return attention(rotate(x["q"], at_query, dim, base, interleaved),
                         rotate(x["k"], at_key, dim, base, interleaved), x["v"], visible=visible)

    file.example(name, inputs | description(dim, base, interleaved),
                 forward_and_backward(function))


attention_example("attention_halves", 2, 1, 7, 7, 8, 8, 10000, False)
attention_example("attention_interleaved", 2, 1, 7, 11, 8, 8, 10000, True)
attention_example("attention_halves_in_part", 2, 1, 5, 9, 10, 6, 100, False)
attention_example("attention_at_positions", 2, 2, 5, 7, 8, 8, 10000, False,
                  at=(torch.tensor([0, 2.5, 7, 100, 1000], dtype=torch.float64), far))

file.write()
