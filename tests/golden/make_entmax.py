"""Golden vectors of the sparse normalisers, forward and backward, from the entmax package.

    python make_entmax.py    writes data/entmax.txt
"""

import math

import entmax
import torch
from importlib.metadata import version

from golden_file import File

file = File("entmax", f"entmax {version('entmax')} and PyTorch {torch.__version__}")


def example(name, x, function, learned=None):
    """function(x) gives y; y's gradient is d_y."""
    inputs = {"x": x, "d_y": file.normal(*x.shape)} | (learned or {})

    def compute(given):
        leaf = {label: value.clone().requires_grad_(label != "d_y")
                for label, value in given.items()}
        y = function(leaf)
        labels = [label for label in given if label != "d_y"]
        gradients = torch.autograd.grad(y, [leaf[label] for label in labels], given["d_y"])
        return {"y": y} | {f"d_{label}": g for label, g in zip(labels, gradients)}

    file.example(name, inputs, compute)


def rows(count, columns, spread=2):
    return file.normal(count, columns) * spread


def bisect(x):
    return entmax.entmax_bisect(x["x"], x["alpha"], dim=-1, n_iter=200, ensure_sum_one=False)


def of_largest(x, k):
    top = torch.topk(x, k, dim=-1)
    full = torch.full_like(x, -math.inf)
    return torch.softmax(full.scatter(-1, top.indices, top.values), -1)


for size, spread in ((13, 1), (67, 0.5), (1, 2)):
    example(f"sparsemax_{size}", rows(4, size, spread),
            lambda x: entmax.sparsemax(x["x"], dim=-1))
    example(f"entmax15_{size}", rows(4, size, spread),
            lambda x: entmax.entmax15(x["x"], dim=-1))
for alpha in (1.05, 1.25, 1.75, 2.5, 4):
    example(f"entmax_{alpha:g}", rows(4, 19, 0.5), bisect,
            {"alpha": torch.tensor([alpha], dtype=torch.float64)})
for k in (1, 5, 19):
    example(f"sparse_softmax_{k}", rows(4, 19) + torch.arange(19) / 64,
            lambda x: of_largest(x["x"], k))

file.write()
