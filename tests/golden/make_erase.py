"""Golden vectors of the update that erases by channels, forward and backward: its recurrence, token
by token, by PyTorch and its automatic gradients.

    python make_erase.py    writes data/erase.txt
"""

import math

import torch

from golden_file import File

file = File("erase", f"PyTorch {torch.__version__}")
HEADS, VALUE_HEADS, TOKENS, DIM, VALUE_DIM = 1, 2, 35, 3, 2


def unit(x):
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def recurrence(q, k, v, g, e, w, state):
    """S <- exp(g) S (I - (e*k) k'), then + (w*v) k'; o = S q / sqrt(d). S is [d_v, d]."""
    q, k = (unit(x).expand(-1, VALUE_HEADS, -1, -1) for x in (q, k))
    S = state.transpose(2, 3)
    outputs = []
    for t in range(TOKENS):
        S = S * g[:, :, t, None, None].exp()
        erased = (S * (e * k)[:, :, t, None, :]).sum(-1)
        written = (w * v)[:, :, t] - erased
        S = S + written[..., None] * k[:, :, t, None, :]
        outputs.append((S * q[:, :, t, None, :]).sum(-1) / math.sqrt(DIM))
    return torch.stack(outputs, 2), S.transpose(2, 3)


def example(name, with_state):
    given = {"q": file.normal(1, HEADS, TOKENS, DIM), "k": file.normal(1, HEADS, TOKENS, DIM),
             "v": file.normal(1, VALUE_HEADS, TOKENS, VALUE_DIM),
             "d_o": file.normal(1, VALUE_HEADS, TOKENS, VALUE_DIM),
             "g": -file.normal(1, VALUE_HEADS, TOKENS).abs() / 4,
             "e": file.normal(1, VALUE_HEADS, TOKENS, DIM).abs().clamp(max=1),
             "w": file.normal(1, VALUE_HEADS, TOKENS, VALUE_DIM).abs().clamp(max=1)}
    if with_state:
        given["state"] = file.normal(1, VALUE_HEADS, DIM, VALUE_DIM)
    wanted = ("q", "k", "v", "g", "e", "w")

    def compute(inputs):
        leaf = {label: value.clone().requires_grad_() for label, value in inputs.items()}
        state = leaf.get("state", inputs["v"].new_zeros(1, VALUE_HEADS, DIM, VALUE_DIM))
        o, last = recurrence(*(leaf[label] for label in wanted), state)
        gradients = torch.autograd.grad(o, [leaf[label] for label in wanted], inputs["d_o"])
        return {"o": o, "last": last} | {f"d_{label}": x for label, x in zip(wanted, gradients)}

    file.example(name, given, compute)


example("erase", False)
example("erase_with_state", True)

file.write()
