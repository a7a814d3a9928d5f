"""Golden vectors of losses on logits and their gradients, from PyTorch and the entmax package.

    python make_losses.py    writes data/losses.txt
"""

from importlib.metadata import version

import entmax
import torch
from torch.nn.functional import cross_entropy

from golden_file import File

file = File("losses", f"entmax {version('entmax')} and PyTorch {torch.__version__}")


def example(name, x, labels, function):
    """function(logits, labels) gives a loss a row, or their mean."""
    inputs = {"x": x, "labels": torch.tensor(labels, dtype=torch.float64)}

    def compute(given):
        leaf = given["x"].clone().requires_grad_()
        loss = function(leaf, given["labels"].long())
        gradient, = torch.autograd.grad(loss.sum(), [leaf])
        return {"loss": loss.reshape(-1), "d_x": gradient}

    file.example(name, inputs, compute)


def rows(count, columns, spread=2):
    return file.normal(count, columns) * spread


labels = [12, 0, 3, 7, 7]
example("cross_entropy", rows(5, 13), labels,
        lambda x, t: cross_entropy(x, t, reduction="none"))
example("cross_entropy_hot", rows(3, 7) * 4096, [6, 0, 2],
        lambda x, t: cross_entropy(x, t, reduction="none"))
example("cross_entropy_mean", rows(5, 13), [12, -100, 3, -100, 7],
        lambda x, t: cross_entropy(x, t, ignore_index=-100))
example("cross_entropy_smoothed", rows(5, 13), [12, 0, -100, 7, 7],
        lambda x, t: cross_entropy(x, t, label_smoothing=0.1, ignore_index=-100))
example("sparsemax_loss", rows(5, 13), labels, entmax.sparsemax_loss)
example("entmax15_loss", rows(5, 13), labels, entmax.entmax15_loss)
example("entmax_loss", rows(5, 13), labels,
        lambda x, t: entmax.entmax_bisect_loss(x, t, 1.3, 200))

file.write()
