"""Golden vectors of linear layers and their gradients, from PyTorch.

    python make_projection.py    writes data/projection.txt
"""

import torch
from torch.nn.functional import linear

from golden_file import File

file = File("projection", f"PyTorch {torch.__version__}")


def example(name, x, weight, bias, dy):
    inputs = {"x": x, "weight": weight, "bias": bias, "d_y": dy}

    def compute(given):
        leaves = {label: given[label].clone().requires_grad_() for label in ("x", "weight", "bias")}
        y = linear(leaves["x"], leaves["weight"], leaves["bias"])
        gradients = torch.autograd.grad(y, leaves.values(), given["d_y"])
        return {"y": y, **{f"d_{label}": d for label, d in zip(leaves, gradients)}}

    file.example(name, inputs, compute)


example("tensor", file.normal(2, 3, 19), file.normal(11, 19), file.normal(11),
        file.normal(2, 3, 11))
example("one_row", file.normal(1, 1, 37), file.normal(21, 37), file.normal(21),
        file.normal(1, 1, 21))


def rounded(name, x, weight):
    """Weights of 16 bits, to nearest; and of 8, a scale a row, as torch quantises a channel."""
    scales = weight.abs().amax(1) / 127
    integers = torch.quantize_per_channel(weight.float(), scales.double(),
                                          torch.zeros(len(scales), dtype=torch.long), 0,
                                          torch.qint8).int_repr()
    weights = {"bfloat16": weight.float().bfloat16().double(),
               "half": weight.float().half().double(),
               "int8": integers.double() * scales[:, None]}

    def compute(given):
        return {f"y_{label}": linear(given["x"], w.to(given["x"].dtype))
                for label, w in weights.items()}

    file.example(name, {"x": x, "weight": weight}, compute)


# Any floats, so that there is something to round and nothing lies halfway.
weight = torch.randn(13, 29, generator=file.generator, dtype=torch.float32).double()
rounded("rounded", file.normal(3, 29), weight)

file.write()
