"""Golden vectors of recurrent units, forward and backward: RWKV-4's time mixing by transformers' own
function, linear recurrent units as the papers write them, in PyTorch's complex numbers.

    python make_units.py    writes data/units.txt
"""

import torch
import transformers
from transformers.models.rwkv.modeling_rwkv import rwkv_linear_attention_cpu

from golden_file import File

file = File("units", f"PyTorch {torch.__version__} and transformers {transformers.__version__}")
BATCH, TOKENS, CHANNELS = 2, 37, 3


def with_gradients(given, outputs):
    """outputs(given), and from the gradient d_o of the first of them those of all else."""
    leaf = {label: value.clone().requires_grad_() for label, value in given.items()
            if label not in ("d_o", "size")}
    found = outputs(given | leaf)
    first = next(iter(found.values()))
    gradients = torch.autograd.grad(first, list(leaf.values()), given["d_o"])
    return found | {f"d_{label}": x for label, x in zip(leaf, gradients)}


def rwkv(x):
    state = [x["numerator"], x["denominator"], x["size"]] if "size" in x else None
    o, last = rwkv_linear_attention_cpu(x["decay"], x["bonus"], x["k"], x["v"], state,
                                        return_state=True)
    scale = last[2].exp()
    return {"o": torch.sigmoid(x["r"]) * o, "last_numerator": last[0] * scale,
            "last_denominator": last[1] * scale}


def linear_recurrent_unit(x):
    """(11) and (13) of arXiv 2303.06349, with real parts and imaginary parts side by side."""
    u = torch.complex(*x["u"].split(CHANNELS, dim=-1))
    decay = torch.exp(torch.complex(-torch.exp(x["nu_log"]), torch.exp(x["theta_log"])))
    state = torch.complex(*x["state"].split(CHANNELS, dim=-1))
    states = []
    for t in range(TOKENS):
        state = decay * state + x["gamma"] * u[:, t]
        states.append(state)
    states = torch.stack(states, dim=1)
    return {"x": torch.cat((states.real, states.imag), dim=-1)}


def tensors(*labels, width=CHANNELS):
    return {label: file.normal(BATCH, TOKENS, width) for label in labels}


def vectors(*labels):
    return {label: file.normal(CHANNELS) for label in labels}


plain = tensors("r", "k", "v", "d_o") | vectors("decay", "bonus")
file.example("rwkv", plain, lambda given: with_gradients(given, rwkv))
state = {label: file.normal(BATCH, CHANNELS) for label in ("numerator", "denominator", "size")}
state["denominator"] = 1 + state["denominator"].abs()
file.example("rwkv_with_state", tensors("r", "k", "v", "d_o") | vectors("decay", "bonus") | state,
             lambda given: with_gradients(given, rwkv))
file.example("linear_recurrent_unit",
             tensors("u", "d_o", width=2 * CHANNELS) | vectors("nu_log", "theta_log", "gamma") |
             {"state": file.normal(BATCH, 2 * CHANNELS)},
             lambda given: with_gradients(given, linear_recurrent_unit))

file.write()
