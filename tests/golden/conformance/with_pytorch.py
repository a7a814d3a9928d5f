"""PyTorch's own sample inputs of attention, softmax, log_softmax, logsumexp and cross_entropy, by
PyTorch and by heed, values and gradients.

    python with_pytorch.py          needs torch, numpy, expecttest
"""

import torch
from torch.testing._internal.common_methods_invocations import op_db

import heed_c
from table import Table

table = Table(f"PyTorch {torch.__version__}")
TOLERANCE = {torch.float32: 2e-5, torch.float64: 2e-13}


def samples(name, dtype):
    for op in (o for o in op_db if o.name == name):
        yield from (s for s in op.sample_inputs("cpu", dtype, requires_grad=True))


def compare(name, dtype, sample, reference, ours):
    """reference(leaf) by PyTorch against ours(numbers, gradient) -> (value, dx)."""
    x = sample.input.detach().clone().requires_grad_()
    y = reference(x)
    dy = torch.randn_like(y)
    dx, = torch.autograd.grad(y, [x], dy)
    table.compare(name, f"{tuple(x.shape)} {sample.args} {sample.kwargs}", TOLERANCE[dtype],
                  lambda: ours(x.detach().numpy(), dy.numpy()),
                  [y.detach().numpy(), dx.numpy()])


def rows(name, dtype):
    for sample in samples(name, dtype):
        given = sample.kwargs.get("dtype", dtype)
        if given not in TOLERANCE:
            table.leave_out(name, f"a result of {given}")
            continue
        operation = getattr(torch, name)
        axes = sample.args[0] if sample.args else sample.kwargs["dim"]
        axes = [axes] if isinstance(axes, int) else list(axes)
        keep = (sample.args[1:2] or (False,))[0] or sample.kwargs.get("keepdim", False)

        def ours(x, dy):
            x = x.astype(str(given).split(".")[1])
            if name == "logsumexp":
                z, dx = heed_c.log_sum_exp(x, axes or list(range(x.ndim)), dz=dy)
                return [z.reshape(dy.shape), dx]
            return list(heed_c.softmax(x, axes[0], log=name == "log_softmax", dy=dy))

        assert keep in (True, False)
        compare(name, dtype, sample, lambda x: operation(x, *sample.args, **sample.kwargs), ours)


def cross_entropy(dtype):
    name = "cross_entropy"
    for sample in samples("nn.functional.cross_entropy", dtype):
        target, options = sample.args[0], sample.kwargs
        soft = target.is_floating_point()
        weight = options.get("weight")
        ignored = options.get("ignore_index", -100)

        def to_rows(t):
            return t.movedim(1, -1).reshape(-1, t.shape[1]) if t.ndim > 1 else t.reshape(1, -1)

        def ours(x, dy):
            leaf = torch.from_numpy(x)
            given = {"probabilities": to_rows(target).detach().numpy()} if soft else {
                "labels": target.reshape(-1).numpy()}
            losses, dx = heed_c.cross_entropy(
                to_rows(leaf).numpy(), **given, gradient=True, ignored=ignored,
                weights=None if weight is None else weight.detach().numpy(),
                smoothing=options.get("label_smoothing", 0.0))
            losses, dx = torch.from_numpy(losses), torch.from_numpy(dx)
            # What a mean divides by is PyTorch's own choice, as is its sum.
            reduction = options.get("reduction", "mean")
            factor = torch.ones_like(losses)
            if reduction == "mean":
                if soft:
                    count = losses.numel()
                else:
                    kept = target.reshape(-1) != ignored
                    classes = to_rows(leaf).shape[1]
                    w = weight if weight is not None else torch.ones(classes, dtype=leaf.dtype)
                    count = w.detach()[target.reshape(-1)[kept]].sum()
                factor = factor / count
            scaled = (torch.from_numpy(dy).reshape(-1) if reduction == "none"
                      else torch.from_numpy(dy)) * factor
            shape = leaf.movedim(1, -1).shape if leaf.ndim > 1 else leaf.shape
            dx = (dx * scaled.reshape(-1, 1)).reshape(shape)
            value = losses * factor
            value = value.reshape(dy.shape) if reduction == "none" else value.sum()
            return [value.numpy(), (dx.movedim(-1, 1) if leaf.ndim > 1 else dx).numpy()]

        compare(name, dtype, sample, lambda x: torch.nn.functional.cross_entropy(
            x, *sample.args, **sample.kwargs), ours)


def attention(dtype):
    name = "scaled_dot_product_attention"
    for sample in samples("nn.functional." + name, dtype):
        if sample.kwargs.get("dropout_p", 0) > 0:
            table.leave_out(name, "dropout, whose draws are each library's own")
            continue
        leaves = [t.detach().clone().requires_grad_() for t in (sample.input, *sample.args)]
        o = torch.nn.functional.scaled_dot_product_attention(*leaves, **sample.kwargs)
        d_o = torch.randn_like(o)
        expected = [o, *torch.autograd.grad(o, leaves, d_o)]

        def ours():
            # PyTorch repeats leading axes of 1, and none; gradients are summed over them.
            leading = o.shape[:-2]
            q, k, v = (t.detach().expand(*leading, *t.shape[-2:]) for t in leaves)
            whole = (1,) * (4 - o.ndim)
            mask = sample.kwargs.get("attn_mask")
            mask = None if mask is None else mask.detach().numpy()
            boolean = mask is not None and mask.dtype == bool
            result = heed_c.attention(
                *(t.reshape(*whole, *t.shape).numpy() for t in (q, k, v)),
                d_o=d_o.reshape(*whole, *o.shape).numpy(),
                seen=mask if boolean else None, bias=None if boolean else mask,
                right=0 if sample.kwargs.get("is_causal") else -1, scale=sample.kwargs.get("scale"))
            gradients = (torch.from_numpy(result[n]).reshape(t.shape).sum_to_size(leaf.shape)
                         for n, t, leaf in zip(("dq", "dk", "dv"), (q, k, v), leaves))
            return [result["o"].reshape(o.shape), *(g.numpy() for g in gradients)]

        table.compare(name, f"{[tuple(t.shape) for t in leaves]} {sample.kwargs}", TOLERANCE[dtype],
                      ours, [e.detach().numpy() for e in expected])


torch.manual_seed(1)
for scalar in TOLERANCE:
    attention(scalar)
    for function in ("softmax", "log_softmax", "logsumexp"):
        rows(function, scalar)
    cross_entropy(scalar)
table.print()
