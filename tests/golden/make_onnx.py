"""Golden vectors that are ONNX's own: some of its node tests, inputs and expected outputs.

    python make_onnx.py    writes data/onnx.txt; conformance/with_onnx.py compares with all of them
"""

import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from golden_file import File

CASES = ["test_attention_4d_gqa_causal", "test_attention_4d_attn_mask_bool",
         "test_attention_4d_softcap_neginf_mask", "test_rotary_embedding_with_interleaved_rotary_dim",
         "test_sce_mean_weight_ii", "test_softmax_large_number", "test_logsoftmax_large_number"]

file = File("onnx", f"ONNX {onnx.__version__}'s node tests")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    cases = {case.name: case for case in collect_testcases(None)}
for name in CASES:
    case = cases[name]
    node, = case.model.graph.node
    (inputs, outputs), = case.data_sets
    file.lines.append(f"example {name}")
    names = [n for n in [*node.input, *node.output] if n]
    for label, x in zip(names, [*inputs, *outputs], strict=True):
        x = numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else np.asarray(x)
        file.array(label, torch.from_numpy(np.array(x)))
    for a in node.attribute:
        value = onnx.helper.get_attribute_value(a)
        if not isinstance(value, bytes):
            file.array(a.name, torch.tensor(value))

file.write()
