"""Golden vectors of softmax over rows and its relatives, forward and backward.

    python make_softmax.py    writes data/softmax.txt
"""

import math

import torch

from golden_file import File

file = File("softmax", f"PyTorch {torch.__version__}")


def example(name, x, function, parameters={}, learned=()):
    """function(inputs) gives y; y's gradient is d_y."""
    with torch.no_grad():
        shape = function({"x": x} | parameters).shape
    inputs = {"x": x, "d_y": file.normal(*shape)} | parameters

    def compute(given):
        leaves = ["x", *learned]
        leaf = {label: value.clone().requires_grad_(label in leaves)
                for label, value in given.items()}
        y = function(leaf)
        gradients = torch.autograd.grad(y, [leaf[label] for label in leaves], given["d_y"])
        return {"y": y} | {f"d_{label}": g for label, g in zip(leaves, gradients)}

    file.example(name, inputs, compute)


def rows(count, columns, spread=2):
    return file.normal(count, columns) * spread


def with_sink(x, sink):
    extended = torch.cat([x, sink.reshape(-1, 1).expand(x.shape[0], 1)], dim=-1)
    return torch.softmax(extended, dim=-1)[:, :-1]


hot = rows(3, 7) * 4096
hidden = rows(4, 9)
hidden[0, :3] = hidden[1, 1::2] = hidden[2, 8] = -math.inf
tau = {"temperature": torch.tensor([0.75], dtype=torch.float64)}

example("softmax", rows(5, 13), lambda x: torch.softmax(x["x"], -1))
example("softmax_hot", hot, lambda x: torch.softmax(x["x"], -1))
example("softmax_hidden", hidden, lambda x: torch.softmax(x["x"], -1))
example("softmax_one_column", rows(4, 1), lambda x: torch.softmax(x["x"], -1))
example("softmax_long", rows(2, 67), lambda x: torch.softmax(x["x"], -1))
example("softmax_temperature", rows(5, 13), lambda x: torch.softmax(x["x"] / x["temperature"], -1),
        tau)
example("log_softmax", rows(5, 13), lambda x: torch.log_softmax(x["x"], -1))
example("log_softmax_hot", hot, lambda x: torch.log_softmax(x["x"], -1))
example("log_sum_exp", rows(5, 13), lambda x: torch.logsumexp(x["x"], -1, keepdim=True))
example("log_sum_exp_hot", hot, lambda x: torch.logsumexp(x["x"], -1, keepdim=True))
example("log_sum_exp_temperature", rows(5, 13),
        lambda x: x["temperature"] * torch.logsumexp(x["x"] / x["temperature"], -1, keepdim=True),
        tau)
example("softmax_plus_one", rows(5, 13),
        lambda x: with_sink(x["x"], torch.zeros(1, dtype=x["x"].dtype)))
example("softmax_plus_one_cold", rows(3, 7) - 40,
        lambda x: with_sink(x["x"], torch.zeros(1, dtype=x["x"].dtype)))
example("sink", rows(5, 13), lambda x: with_sink(x["x"], x["sink"]),
        {"sink": torch.tensor([1.25], dtype=torch.float64)}, ["sink"])
example("sink_of_rows", rows(5, 13), lambda x: with_sink(x["x"], x["sink"]),
        {"sink": file.normal(5)}, ["sink"])

file.write()
