"""Golden vectors of tensors of 16-bit numbers: what PyTorch computes of those numbers in wider ones.

    python make_storage.py    writes data/storage.txt

Inputs are numbers of 16 bits. Backward is given the results as they are stored, rounded to 16 bits,
by PyTorch's own functions for that.
"""

import torch
import torch.nn.functional as F

from golden_file import File

file = File("storage", f"PyTorch {torch.__version__}")
STORAGES = {"bfloat16": torch.bfloat16, "half": torch.float16}


def normal(storage, *shape):
    """Normal numbers, rounded to the storage."""
    return torch.randn(*shape, generator=file.generator).to(storage).double()


def attention(name, storage, causal, batch, heads, sequence, dim):
    shape = (batch, heads, sequence, dim)
    inputs = {label: normal(storage, *shape) for label in ("q", "k", "v", "d_o")}

    def compute(given):
        q, k, v, d_o = (given[label] for label in ("q", "k", "v", "d_o"))
        o, log_sum_exp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, causal)
        stored = o.to(storage).to(o.dtype)
        gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            d_o, q, k, v, stored, log_sum_exp, 0.0, causal)
        return {"o": o, "log_sum_exp": log_sum_exp,
                **dict(zip(("d_q", "d_k", "d_v"), gradients))}

    file.example(name, inputs, compute)


def rows(name, storage, count, length):
    inputs = {"x": normal(storage, count, length), "d_y": normal(storage, count, length),
              "d_z": normal(storage, count), "gamma": normal(storage, length),
              "labels": torch.randint(length, (count,), generator=file.generator)}

    def differentiated(label, function, given, d_y, *leaves):
        x = {leaf: given[leaf].clone().requires_grad_() for leaf in leaves}
        y = function(**x)
        gradients = torch.autograd.grad(y, x.values(), d_y)
        return {label: y, **{f"d_{leaf}_of_{label}": d for leaf, d in zip(leaves, gradients)}}

    def compute(given):
        x, d_y = given["x"], given["d_y"]
        p, log_p = torch.softmax(x, -1), torch.log_softmax(x, -1)
        stored = {"p": p.to(storage).to(x.dtype), "log_p": log_p.to(storage).to(x.dtype)}
        return {
            "softmax": p,
            "d_x_of_softmax": torch._softmax_backward_data(d_y, stored["p"], -1, x.dtype),
            "log_softmax": log_p,
            "d_x_of_log_softmax": torch._log_softmax_backward_data(d_y, stored["log_p"], -1,
                                                                   x.dtype),
            **differentiated("log_sum_exp", lambda x: torch.logsumexp(x, -1), given, given["d_z"],
                             "x"),
            **differentiated("rms_norm", lambda x, gamma: F.rms_norm(x, x.shape[-1:], gamma, 1e-5),
                             given, d_y, "x", "gamma"),
            **differentiated("silu", lambda x: F.silu(x), given, d_y, "x"),
            **differentiated("cross_entropy",
                             lambda x: F.cross_entropy(x, given["labels"].long()), given,
                             torch.ones((), dtype=x.dtype), "x"),
        }

    file.example(name, inputs, compute)


for name, storage in STORAGES.items():
    attention(f"attention_{name}", storage, False, 1, 2, 7, 5)
    attention(f"causal_{name}", storage, True, 2, 1, 9, 8)
    rows(f"rows_{name}", storage, 3, 19)

file.write()
