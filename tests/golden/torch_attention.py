"""Attention composed of PyTorch's own operations, in the order of heed's: norms, rotation, scale,
modifiers, mask, softmax. Autograd gives the gradients."""

import math

import torch


def attention(q, k, v, *, scale=None, modify=lambda s: s, visible=None, sink=None, temperature=1):
    """q [B, H, N, d], k [B, H_kv, M, d], v [B, H_kv, M, d_v]; visible broadcasts to [B, H, N, M];
    sink [H] is concatenated as gpt-oss does. Returns o and the log-sum-exp [B, H, N]."""
    group = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(group, dim=1)
    v = v.repeat_interleave(group, dim=1)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    s = modify(q @ k.transpose(-1, -2) * scale)
    if visible is not None:
        s = s.masked_fill(~visible, -math.inf)
    s = s / temperature
    keys = s.shape[-1]
    if sink is not None:
        s = torch.cat([s, sink.to(s.dtype).reshape(1, -1, 1, 1).expand(*s.shape[:-1], 1)], dim=-1)
    p = torch.softmax(s, dim=-1)[..., :keys]
    return p @ v, temperature * torch.logsumexp(s, dim=-1)


def positions(queries, keys):
    """Where queries [N, 1] and keys [M] stand: query i at i + M - N."""
    return torch.arange(queries)[:, None] + keys - queries, torch.arange(keys)


def causal(queries, keys):
    i, j = positions(queries, keys)
    return j <= i


def window(queries, keys, left, right):
    i, j = positions(queries, keys)
    return (i - j <= left) & (j - i <= right)


def forward_and_backward(function, learned=()):
    """A compute for File.example: o, log_sum_exp and the gradients of q, k, v and of every input
    named in `learned`, for the inputs' gradients d_o and (if there is one) d_log_sum_exp."""

    def compute(inputs):
        leaves = ["q", "k", "v", *learned]
        x = {name: value.clone().requires_grad_(name in leaves) for name, value in inputs.items()}
        o, log_sum_exp = function(x)
        loss = (o * x["d_o"]).sum()
        if "d_log_sum_exp" in x:
            loss = loss + (log_sum_exp * x["d_log_sum_exp"]).sum()
        gradients = torch.autograd.grad(loss, [x[name] for name in leaves])
        results = {"o": o, "log_sum_exp": log_sum_exp}
        return results | {f"d_{name}": g for name, g in zip(leaves, gradients)}

    return compute
