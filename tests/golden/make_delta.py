"""Golden vectors of the gated delta rule, forward and backward, from transformers' functions.

    python make_delta.py    writes data/delta.txt

They compute in float32, whatever they are given.
"""

import torch
import transformers
from transformers.models.qwen3_next.modeling_qwen3_next import (torch_chunk_gated_delta_rule,
                                                                torch_recurrent_gated_delta_rule)

from golden_file import File

file = File("delta", f"PyTorch {torch.__version__} and transformers {transformers.__version__}")
HEADS, VALUE_HEADS, TOKENS, DIM, VALUE_DIM = 1, 2, 70, 3, 2


def example(name, rule, with_state):
    rows = {label: file.normal(1, heads, TOKENS, columns)
            for label, heads, columns in (("q", HEADS, DIM), ("k", HEADS, DIM),
                                          ("v", VALUE_HEADS, VALUE_DIM),
                                          ("d_o", VALUE_HEADS, VALUE_DIM))}
    g = -file.normal(1, VALUE_HEADS, TOKENS).abs() / 4
    beta = file.normal(1, VALUE_HEADS, TOKENS).abs().clamp(max=1)
    state = {"state": file.normal(1, VALUE_HEADS, DIM, VALUE_DIM)} if with_state else {}

    def compute(given):
        leaf = {label: value.clone().requires_grad_() for label, value in given.items()}
        rows = {label: leaf[label].transpose(1, 2) for label in ("q", "k", "v", "g", "beta")}
        o, last = rule(rows["q"], rows["k"], rows["v"], rows["g"], rows["beta"],
                       initial_state=leaf.get("state"), output_final_state=True,
                       use_qk_l2norm_in_kernel=True)
        o = o.transpose(1, 2)
        wanted = ("q", "k", "v", "g", "beta")
        gradients = torch.autograd.grad(o, [leaf[label] for label in wanted], given["d_o"])
        return {"o": o, "last": last} | {f"d_{label}": x for label, x in zip(wanted, gradients)}

    file.example(name, rows | {"g": g, "beta": beta} | state, compute)


example("chunk", torch_chunk_gated_delta_rule, False)
example("recurrent", torch_recurrent_gated_delta_rule, False)
example("chunk_with_state", torch_chunk_gated_delta_rule, True)

file.write()
