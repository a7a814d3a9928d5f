"""ONNX's own node tests of Attention, Softmax, LogSoftmax, SoftmaxCrossEntropyLoss, ReduceLogSumExp
and RotaryEmbedding, against heed.

    python with_onnx.py             needs onnx, numpy, ml_dtypes
"""

import math
import warnings

import numpy as np
import onnx
from onnx import numpy_helper

import heed_c
from table import Table

table = Table(f"ONNX {onnx.__version__}")
TOLERANCE = {"float32": 2e-5, "float64": 2e-13, "float16": 2e-3, "bfloat16": 1.6e-2}


def attention(name, inputs, outputs, attributes):
    """Inputs and outputs by their names in the operator's definition."""
    q, k, v = inputs["Q"], inputs["K"], inputs["V"]
    flat = q.ndim == 3
    if flat:  # [batch, sequence, heads·dim]
        q, k, v = (x.reshape(*x.shape[:2], attributes[f"{h}_num_heads"], -1).swapaxes(1, 2)
                   for x, h in ((q, "q"), (k, "kv"), (v, "kv")))
    past = inputs.get("past_key")
    if past is not None:
        k = np.concatenate([past, k], axis=2)
        v = np.concatenate([inputs["past_value"], v], axis=2)
    lengths = inputs.get("nonpad_kv_seqlen")
    first = (past.shape[2] if past is not None else
             lengths - q.shape[2] if lengths is not None else 0)
    mask = inputs.get("attn_mask")
    if mask is not None and mask.shape[-1] not in (1, k.shape[2]):  # shorter than a padded cache
        missing = [(0, 0)] * (mask.ndim - 1) + [(0, k.shape[2] - mask.shape[-1])]
        mask = np.pad(mask, missing, constant_values=False if mask.dtype == bool else -math.inf)
    boolean = mask is not None and mask.dtype == bool
    mode = attributes.get("qk_matmul_output_mode", 0)
    scores = outputs.get("qk_matmul_output")

    right = 0 if attributes.get("is_causal") else attributes.get("right_window_size", -1)
    cap = {"soft_cap": attributes.get("softcap", 0.0)}
    seen = {"seen": mask if boolean else None, "bias": None if boolean else mask,
            "first_query": first, "key_lengths": lengths, "right": right,
            "left": attributes.get("left_window_size", -1)}

    def run(**given):
        return heed_c.attention(q, k, v, scale=attributes.get("scale"), **given)

    def ours():
        result = run(**cap, **seen, weights=scores is not None and mode == 3)
        o = result["o"]
        found = [o.swapaxes(1, 2).reshape(*o.shape[:1], o.shape[2], -1) if flat else o]
        if scores is not None:  # of the products, behind the cap, behind the mask too, or weights
            found.append(result["weights"] if mode == 3 else
                         run(**cap if mode else {}, **seen if mode == 2 else {},
                             scores=True)["scores"])
        return found

    expected = [outputs["Y"]] + ([scores] if scores is not None else [])
    table.compare("Attention", name, TOLERANCE[q.dtype.name], ours, expected)


def softmax(name, inputs, outputs, attributes, log=False):
    x, = inputs.values()
    table.compare("LogSoftmax" if log else "Softmax", name, TOLERANCE[x.dtype.name],
                  lambda: [heed_c.softmax(x, attributes.get("axis", -1), log=log)],
                  list(outputs.values()))


def log_softmax(*case):
    softmax(*case, log=True)


def log_sum_exp(name, inputs, outputs, attributes):
    x, axes = inputs["data"], inputs.get("axes", attributes.get("axes"))
    if axes is None and attributes.get("noop_with_empty_axes"):
        table.leave_out("ReduceLogSumExp", "a reduction over no axes, which is no reduction")
        return
    axes = list(range(x.ndim)) if axes is None or len(axes) == 0 else [int(a) for a in axes]
    expected, = outputs.values()
    table.compare("ReduceLogSumExp", name, TOLERANCE[x.dtype.name],
                  lambda: [heed_c.log_sum_exp(x, axes).reshape(expected.shape)], [expected])


def cross_entropy(name, inputs, outputs, attributes):
    x, labels, weights = inputs["scores"], inputs["labels"], inputs.get("weights")
    ignored = attributes.get("ignore_index", -100)
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    reduction = attributes.get("reduction", b"mean").decode()

    def ours():
        losses = heed_c.cross_entropy(rows, labels=labels.reshape(-1), weights=weights,
                                      ignored=ignored)
        if reduction == "none":
            value = losses.reshape(labels.shape)
        else:
            kept = labels.reshape(-1) != ignored
            count = (weights[labels.reshape(-1)[kept]].sum() if weights is not None
                     else kept.sum()) if reduction == "mean" else 1
            value = losses.sum() / count
        found = [value]
        if "log_prob" in outputs:
            found.append(heed_c.softmax(x, 1, log=True))
        return found

    table.compare("SoftmaxCrossEntropyLoss", name, TOLERANCE[x.dtype.name], ours,
                  list(outputs.values()))


def rotary(name, inputs, outputs, attributes):
    x, cosines, sines = inputs["X"], inputs["cos_cache"], inputs["sin_cache"]
    flat = x.ndim == 3
    if flat:
        x = np.ascontiguousarray(
            x.reshape(*x.shape[:2], attributes["num_heads"], -1).swapaxes(1, 2))
    positions = inputs.get("position_ids")
    if positions is None:  # the tables are [batch, sequence, pairs]: a row a token
        positions = np.arange(math.prod(cosines.shape[:2])).reshape(cosines.shape[:2])
    expected, = outputs.values()

    def ours():
        y = heed_c.rotate(x, *(t.reshape(-1, t.shape[-1]) for t in (cosines, sines)), positions,
                          interleaved=bool(attributes.get("interleaved", 0)))
        return [y.swapaxes(1, 2).reshape(expected.shape) if flat else y]

    table.compare("RotaryEmbedding", name, TOLERANCE[x.dtype.name], ours, [expected])


OPERATORS = {"Attention": attention, "Softmax": softmax, "LogSoftmax": log_softmax,
             "ReduceLogSumExp": log_sum_exp, "SoftmaxCrossEntropyLoss": cross_entropy,
             "RotaryEmbedding": rotary}


def named(schema_parameters, names, arrays):
    """Arrays by the names of an operator's definition; those left out have the name ''."""
    given = iter(arrays)
    return {p.name: next(given) for p, n in zip(schema_parameters, names) if n}


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    cases = collect_testcases(None)
for case in cases:
    nodes = case.model.graph.node
    if len(nodes) != 1 or nodes[0].op_type not in OPERATORS or nodes[0].domain:
        continue
    node = nodes[0]
    version = next(o.version for o in case.model.opset_import if not o.domain)
    schema = onnx.defs.get_schema(node.op_type, version)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    for inputs, outputs in case.data_sets:
        inputs, outputs = ([numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else
                            np.asarray(x) for x in arrays] for arrays in (inputs, outputs))
        OPERATORS[node.op_type](case.name, named(schema.inputs, node.input, inputs),
                                named(schema.outputs, node.output, outputs), attributes)
table.print()
