"""Writes the vectors that golden.hpp reads.

A file is a few comment lines, then examples:

    example <name>
    array <name> <rank> <extents...>
    <the values, row-major, a line a row>
    float32_error <name> <root-mean-square error of PyTorch's float32 result against float64>

Inputs are multiples of 1/16, which every float holds exactly; results are PyTorch's in float64,
to 12 digits.
"""

import pathlib

import torch

SEED = 20170612
DATA = pathlib.Path(__file__).parent / "data"


def sixteenths(generator, *shape):
    """Normal numbers, rounded to multiples of 1/16."""
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return torch.round(x * 16) / 16


def _text(x):
    return f"{x:.12g}"


class File:
    def __init__(self, name, libraries):
        self.generator = torch.Generator().manual_seed(SEED)
        self.path = DATA / f"{name}.txt"
        self.lines = [f"# Made by make_{name}.py with {libraries}, seed {SEED}."]

    def normal(self, *shape):
        return sixteenths(self.generator, *shape)

    def example(self, name, inputs, compute):
        """compute(inputs) gives the results, in the precision of its inputs."""
        self.lines.append(f"example {name}")
        for label, x in inputs.items():
            self.array(label, x)
        exact = compute(inputs)
        single = compute({label: x.float() if x.is_floating_point() else x
                          for label, x in inputs.items()})
        for label, x in exact.items():
            self.array(label, x)
            error = single[label].double() - x
            error = error[torch.isfinite(error)]
            if error.numel() != 0:
                self.lines.append(f"float32_error {label} {error.pow(2).mean().sqrt().item():.3g}")

    def array(self, label, x):
        x = x.detach().double()
        self.lines.append(f"array {label} {x.dim()} " + " ".join(str(n) for n in x.shape))
        rows = x.reshape(-1, x.shape[-1]) if x.dim() > 0 else x.reshape(1, 1)
        self.lines += [" ".join(_text(value.item()) for value in row) for row in rows]

    def write(self):
        DATA.mkdir(exist_ok=True)
        self.path.write_text("\n".join(self.lines) + "\n")
        print(f"{self.path.name}: {self.path.stat().st_size // 1024} KB")
