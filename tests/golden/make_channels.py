"""Golden vectors of decays a channel, forward and backward, from flash-linear-attention's
references.

    python make_channels.py    writes data/channels.txt

They compute in float32, whatever they are given. Their files are loaded one by one: the package
as a whole wants a GPU's compiler.
"""

import importlib.metadata
import importlib.util
import pathlib

import torch

from golden_file import File

LIBRARY = pathlib.Path(importlib.util.find_spec("fla").submodule_search_locations[0])


def naive(path, name):
    spec = importlib.util.spec_from_file_location(name, LIBRARY / "ops" / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


file = File("channels", f"PyTorch {torch.__version__} and flash-linear-attention "
                        f"{importlib.metadata.version('fla-core')}")
HEADS, TOKENS, DIM, VALUE_DIM = 2, 35, 3, 2


def example(name, compute_rows, extra, with_state=False):
    rows = {label: file.normal(1, HEADS, TOKENS, columns)
            for label, columns in (("q", DIM), ("k", DIM), ("v", VALUE_DIM), ("d_o", VALUE_DIM))}
    rows["k"] = rows["k"] / 2
    rows["g"] = -file.normal(1, HEADS, TOKENS, DIM).abs() / 4
    rows |= {label: make() for label, make in extra.items()}
    if with_state:
        rows["state"] = file.normal(1, HEADS, DIM, VALUE_DIM)
    wanted = ("q", "k", "v", "g", *extra)

    def compute(given):
        leaf = {label: value.clone().requires_grad_() for label, value in given.items()}
        o, last = compute_rows(leaf)
        gradients = torch.autograd.grad(o, [leaf[label] for label in wanted], given["d_o"])
        return {"o": o, "last": last} | {f"d_{label}": x for label, x in zip(wanted, gradients)}

    file.example(name, rows, compute)


def by_tokens(leaf, *labels):
    return [leaf[label].transpose(1, 2) for label in labels]


def gla(leaf):
    rule = naive("gla/naive.py", "naive_recurrent_gla")
    o, last = rule(*by_tokens(leaf, "q", "k", "v", "g"), leaf.get("state"), True)
    return o.transpose(1, 2), last


def kda(leaf):
    rule = naive("kda/naive.py", "naive_recurrent_kda")
    o, last = rule(*by_tokens(leaf, "q", "k", "v", "g", "beta"), None, leaf.get("state"), True)
    return o.transpose(1, 2), last


def rwkv6(leaf):
    rule = naive("rwkv6/recurrent_naive.py", "naive_recurrent_rwkv6")
    return rule(leaf["q"], leaf["k"], leaf["v"], leaf["g"], leaf["u"],
                initial_state=leaf.get("state"), output_final_state=True)


def rwkv7(leaf):
    rule = naive("generalized_delta_rule/dplr/naive.py", "dplr_recurrence")
    rows = [leaf[label].float() for label in ("q", "k", "v", "a", "b", "g")]
    o, last = rule(*rows, leaf.get("state"), True)
    return o.to(leaf["q"].dtype), last


def low_rank():
    """-k and k*eta, k of length 1 and eta between 0 and 1, as RWKV-7 has them."""
    direction = torch.nn.functional.normalize(file.normal(1, HEADS, TOKENS, DIM), dim=-1)
    share = torch.sigmoid(file.normal(1, HEADS, TOKENS, DIM))
    return [torch.round(x * 16) / 16 for x in (-direction, direction * share)]


def betas():
    return file.normal(1, HEADS, TOKENS).abs().clamp(max=1)


example("gla", gla, {})
example("gla_with_state", gla, {}, with_state=True)
example("rwkv6", rwkv6, {"u": lambda: file.normal(HEADS, DIM)})
example("kda", kda, {"beta": betas})
example("kda_with_state", kda, {"beta": betas}, with_state=True)
for name, with_state in (("rwkv7", False), ("rwkv7_with_state", True)):
    a, b = low_rank()
    example(name, rwkv7, {"a": lambda: a, "b": lambda: b}, with_state)

file.write()
