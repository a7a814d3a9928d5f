"""Golden vectors of exact attention, forward and backward. Needs torch and transformers:

    python make_attention.py    writes data/attention.txt
"""

import math
import types

import torch
import torch.nn.functional as F
import transformers
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

from golden_file import File
from torch_attention import attention, causal, forward_and_backward, positions, window

file = File("attention", f"PyTorch {torch.__version__}, transformers {transformers.__version__}")


def tensors(batch, heads, kv_heads, queries, keys, dim, value_dim=None):
    value_dim = value_dim or dim
    return {"q": file.normal(batch, heads, queries, dim),
            "k": file.normal(batch, kv_heads, keys, dim),
            "v": file.normal(batch, kv_heads, keys, value_dim),
            "d_o": file.normal(batch, heads, queries, value_dim)}


def example(name, inputs, function, learned=(), torch_says=None):
    """torch_says: the same by a function of somebody else's, checked here."""
    file.example(name, inputs, forward_and_backward(function, learned))
    if torch_says is not None:
        torch.testing.assert_close(function(inputs)[0], torch_says(inputs), rtol=1e-13, atol=1e-13)


def sdpa(**options):
    return lambda x: F.scaled_dot_product_attention(x["q"], x["k"], x["v"], **options)


def plain(**options):
    return lambda x: attention(x["q"], x["k"], x["v"], **options)


# Heads and shapes.
example("heads", tensors(2, 2, 2, 5, 5, 5), plain(), torch_says=sdpa())
example("grouped_heads", tensors(1, 4, 2, 5, 9, 6), plain(), torch_says=sdpa(enable_gqa=True))
example("one_kv_head", tensors(2, 3, 1, 5, 7, 5), plain(), torch_says=sdpa(enable_gqa=True))
example("value_dim", tensors(1, 2, 1, 7, 8, 5, 7), plain(), torch_says=sdpa(enable_gqa=True))
example("long_row", tensors(1, 1, 1, 3, 19, 16, 3), plain(), torch_says=sdpa())

# Masks.
example("causal", tensors(1, 2, 2, 11, 11, 5), plain(visible=causal(11, 11)),
        torch_says=sdpa(is_causal=True))
example("causal_with_cache", tensors(1, 2, 1, 5, 11, 8), plain(visible=causal(5, 11)))
example("causal_from_start", tensors(1, 2, 2, 5, 9, 5),
        plain(visible=torch.arange(9) <= torch.arange(5)[:, None]),
        torch_says=sdpa(is_causal=True))
example("window", tensors(1, 1, 1, 11, 11, 5) | {"window": torch.tensor([3, 2])},
        plain(visible=window(11, 11, 3, 2)))
example("causal_window", tensors(1, 2, 1, 9, 12, 5) | {"window": torch.tensor([4, 0])},
        plain(visible=window(9, 12, 4, 0) & causal(9, 12)))
lengths = torch.tensor([9, 4, 1])
example("key_lengths", tensors(3, 2, 1, 3, 9, 5) | {"lengths": lengths},
        plain(visible=(torch.arange(9) < lengths[:, None])[:, None, None, :]))
segments = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, 2], [4, 4, 4, 4, 4, 4, 4, 7, 7]])
example("documents", tensors(2, 1, 1, 9, 9, 5) | {"segments": segments},
        plain(visible=((segments[:, :, None] == segments[:, None, :]) & causal(9, 9))[:, None]))
seen = torch.rand(1, 2, 7, 9, generator=file.generator) < 0.5
seen[..., 0] = True
example("boolean", tensors(1, 2, 2, 7, 9, 5) | {"visible": seen}, plain(visible=seen),
        torch_says=sdpa(attn_mask=seen))

# Modifiers.


def biased(**options):
    return lambda x: attention(x["q"], x["k"], x["v"], modify=lambda s: s + x["bias"], **options)


def sdpa_biased(x):
    return F.scaled_dot_product_attention(x["q"], x["k"], x["v"], attn_mask=x["bias"],
                                          enable_gqa=True)


example("bias", tensors(2, 2, 1, 5, 7, 5) | {"bias": file.normal(2, 2, 5, 7)}, biased(), ["bias"],
        torch_says=sdpa_biased)
example("bias_of_heads", tensors(2, 2, 1, 5, 7, 5) | {"bias": file.normal(1, 2, 5, 7)},
        biased(visible=causal(5, 7)), ["bias"])
example("bias_of_keys", tensors(2, 2, 1, 5, 7, 5) | {"bias": file.normal(2, 1, 1, 7)},
        biased(), ["bias"], torch_says=sdpa_biased)


def distance(queries, keys):
    i, j = positions(queries, keys)
    return (i - j).abs()


slopes = torch.tensor([0.5, 0.25, 0.125, 0.0625], dtype=torch.float64)
example("alibi", tensors(1, 4, 1, 5, 7, 5) | {"slopes": slopes},
        lambda x: attention(x["q"], x["k"], x["v"], visible=causal(5, 7),
                            modify=lambda s: s - x["slopes"][:, None, None] * distance(5, 7)),
        ["slopes"])
cap = {"cap": torch.tensor([1.5], dtype=torch.float64)}
example("soft_cap", tensors(1, 2, 2, 9, 9, 5) | cap,
        lambda x: attention(x["q"], x["k"], x["v"], visible=causal(9, 9),
                            modify=lambda s: x["cap"] * torch.tanh(s / x["cap"])), ["cap"])
example("modifiers_in_order",
        tensors(1, 2, 1, 7, 8, 5) | cap | {"bias": file.normal(1, 2, 7, 8), "slopes": slopes[:2]},
        lambda x: attention(
            x["q"], x["k"], x["v"], visible=causal(7, 8),
            modify=lambda s: x["cap"] * torch.tanh((s + x["bias"]) / x["cap"])
            - x["slopes"][:, None, None] * distance(7, 8)), ["bias"])

# Normalisers.
example("temperature", tensors(1, 2, 2, 7, 9, 5) | {"temperature": torch.tensor([0.75])},
        plain(temperature=0.75))
example("plus_one", tensors(1, 2, 2, 7, 9, 5), plain(sink=torch.zeros(2, dtype=torch.float64)))


def gpt_oss(x):
    module = types.SimpleNamespace(num_key_value_groups=x["q"].shape[1] // x["k"].shape[1],
                                   sinks=x["sink"], training=False)
    hidden = torch.zeros(7, 9, dtype=x["q"].dtype).masked_fill(~causal(7, 9), -1e300)
    o, _ = eager_attention_forward(module, x["q"], x["k"], x["v"], hidden[None, None],
                                   scaling=1 / math.sqrt(x["q"].shape[-1]))
    return o.transpose(1, 2)


example("sink", tensors(1, 4, 2, 7, 9, 5) | {"sink": file.normal(4)},
        lambda x: attention(x["q"], x["k"], x["v"], sink=x["sink"], visible=causal(7, 9)),
        ["sink"], torch_says=gpt_oss)
example("log_sum_exp_gradient",
        tensors(1, 2, 2, 7, 9, 5) | {"d_log_sum_exp": file.normal(1, 2, 7)}, plain())

# Scales.
example("scale_of_heads",
        tensors(1, 3, 1, 7, 8, 5) | {"scale": torch.tensor([0.25, 0.5, 1], dtype=torch.float64)},
        lambda x: attention(x["q"], x["k"], x["v"], scale=x["scale"][:, None, None]), ["scale"])


def log_n(queries, keys, base, dim):
    """(log_base n_i)/sqrt(d), n_i the number of keys that query i sees causally."""
    count = torch.arange(queries)[:, None] + keys - queries + 1
    return torch.log(count.double()) / math.log(base) / math.sqrt(dim)


example("log_n", tensors(1, 1, 1, 11, 11, 5) | {"base": torch.tensor([8])},
        lambda x: attention(x["q"], x["k"], x["v"], visible=causal(11, 11),
                            scale=log_n(11, 11, 8, 5).to(x["q"].dtype)))
example("log_n_after_training", tensors(1, 1, 1, 11, 11, 5) | {"length": torch.tensor([6])},
        lambda x: attention(
            x["q"], x["k"], x["v"], visible=causal(11, 11),
            scale=torch.clamp(log_n(11, 11, 6, 5), min=1 / math.sqrt(5)).to(x["q"].dtype)))
example("key_norm", tensors(1, 2, 2, 7, 8, 5),
        lambda x: attention(x["q"], F.normalize(x["k"], dim=-1), x["v"], scale=1))
example("cosine", tensors(1, 2, 2, 7, 8, 5) | {"scale": torch.tensor([6.0])},
        lambda x: attention(F.normalize(x["q"], dim=-1), F.normalize(x["k"], dim=-1), x["v"],
                            scale=6))

file.write()
