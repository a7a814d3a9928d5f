"""How exact PyTorch's attention in float32 is on long rows, as a measure for heed's.

    python make_accuracy.py    writes data/accuracy.txt

The inputs are too large for a file: number i of each is made of i by the hash below, in the test
as here. What is kept is the root-mean-square error of PyTorch's o against float64.
"""

import numpy
import torch
from torch.nn.functional import scaled_dot_product_attention

from golden_file import File

file = File("accuracy", "")
file.lines[0] = f"# Made by make_accuracy.py with PyTorch {torch.__version__}."


def numbers(first, *shape):
    """Multiples of 2^-14, evenly distributed in [-2, 2): those of first, first + 1, …"""
    z = numpy.arange(first, first + numpy.prod(shape), dtype=numpy.uint32)
    z = (z + numpy.uint32(1)) * numpy.uint32(2654435761)
    z = (z ^ (z >> 15)) * numpy.uint32(2246822519)
    z = (z ^ (z >> 13)) * numpy.uint32(3266489917)
    z = (z ^ (z >> 16)) >> 16
    return torch.from_numpy((z.astype(numpy.float64) - 32768) / 16384).reshape(1, 1, *shape)


def example(queries, keys, dim):
    q, k = numbers(0, queries, dim), numbers(1 << 24, keys, dim)
    v = numbers(1 << 25, keys, dim)
    exact = scaled_dot_product_attention(q, k, v)
    single = scaled_dot_product_attention(q.float(), k.float(), v.float()).double()
    error = (single - exact).pow(2).mean().sqrt().item()
    file.lines += [f"example keys_{keys}_dim_{dim}", "array extents 1 3",
                   f"{queries} {keys} {dim}", f"float32_error o {error:.3g}"]


for keys, dim in ((512, 64), (2048, 64), (2048, 128), (8192, 64)):
    example(64, keys, dim)

file.write()
