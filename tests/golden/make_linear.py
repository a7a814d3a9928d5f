"""Golden vectors of linear attention, forward and backward, from performer-pytorch's functions.

    python make_linear.py    writes data/linear.txt

What keeps its denominators and features from zero there is set to zero: here nothing is added.
"""

import torch
from importlib.metadata import version
from performer_pytorch.performer_pytorch import (causal_linear_attention_noncuda,
                                                 generalized_kernel, linear_attention,
                                                 softmax_kernel)

from golden_file import File

file = File("linear", f"performer-pytorch {version('performer-pytorch')} and PyTorch "
                      f"{torch.__version__}")
TOKENS, DIM, VALUE_DIM, FEATURES = 35, 3, 2, 7


def causal(q, k, v):
    return causal_linear_attention_noncuda(q, k, v, chunk_size=16, eps=0)


def elu_plus_one(x, _):
    return torch.nn.functional.elu(x) + 1


def favor(x, omega):
    # A query's largest feature is taken off there by row, keys' by tensor: o is the same.
    return softmax_kernel(x, projection_matrix=omega, is_query=True, eps=0)


def favor_keys(x, omega):
    return softmax_kernel(x, projection_matrix=omega, is_query=False, eps=0)


def relu(x, omega):
    return generalized_kernel(x, projection_matrix=omega, kernel_epsilon=0.125)


def example(name, attention, of_queries, of_keys, projects):
    rows = {label: file.normal(1, 1, TOKENS, columns)
            for label, columns in (("q", DIM), ("k", DIM), ("v", VALUE_DIM), ("d_o", VALUE_DIM))}
    omega = {"omega": file.normal(FEATURES, DIM)} if projects else {}

    def compute(given):
        leaf = {label: value.clone().requires_grad_(label in "qkv")
                for label, value in given.items()}
        directions = leaf.get("omega")
        o = attention(of_queries(leaf["q"], directions), of_keys(leaf["k"], directions), leaf["v"])
        gradients = torch.autograd.grad(o, [leaf["q"], leaf["k"], leaf["v"]], given["d_o"])
        return {"o": o} | dict(zip(("dq", "dk", "dv"), gradients))

    file.example(name, rows | omega, compute)


for kind, attention in (("", linear_attention), ("_causal", causal)):
    example("elu_plus_one" + kind, attention, elu_plus_one, elu_plus_one, False)
    example("favor" + kind, attention, favor, favor_keys, True)
    example("favor_relu" + kind, attention, relu, relu, True)

file.write()
