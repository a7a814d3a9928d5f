"""Golden vectors of multi-head latent attention and its gradients, from transformers' modules.

    python make_latent.py    writes data/latent.txt
"""

import torch
import transformers
from transformers.models.deepseek_v2 import modeling_deepseek_v2 as v2
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3

from golden_file import File

file = File("latent", f"PyTorch {torch.__version__} and transformers {transformers.__version__}")

BATCH, TOKENS, MODEL = 2, 5, 6
HEADS, CONTENT, ROTATED, VALUE, RANK, QUERY_RANK = 2, 2, 4, 3, 6, 5
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
        "original_max_position_embeddings": 64, "max_position_embeddings": 256}


def example(name, module, rope, query_rank, bias, **options):
    of = {"v2": (v2.DeepseekV2Config, v2.DeepseekV2Attention, v2.DeepseekV2RotaryEmbedding),
          "v3": (v3.DeepseekV3Config, v3.DeepseekV3Attention, v3.DeepseekV3RotaryEmbedding)}
    config_type, attention_type, rotary_type = of[module]
    config = config_type(hidden_size=MODEL, num_attention_heads=HEADS, num_key_value_heads=HEADS,
                         qk_nope_head_dim=CONTENT, qk_rope_head_dim=ROTATED, v_head_dim=VALUE,
                         kv_lora_rank=RANK, q_lora_rank=query_rank, attention_bias=bias,
                         max_position_embeddings=256, rope_parameters=rope,
                         attn_implementation="sdpa", **options)
    shapes = {label: x.shape for label, x in attention_type(config, 0).named_parameters()}
    inputs = {"x": file.normal(BATCH, TOKENS, MODEL), "d_y": file.normal(BATCH, TOKENS, MODEL)}
    inputs |= {label: file.normal(*shape) for label, shape in shapes.items()}

    def compute(given):
        attention = attention_type(config, 0).to(given["x"].dtype)
        attention.load_state_dict({label: given[label] for label in shapes})
        x = given["x"].clone().requires_grad_()
        positions = torch.arange(TOKENS).expand(BATCH, TOKENS)
        y = attention(x, position_embeddings=rotary_type(config)(x, positions),
                      attention_mask=None)[0]
        leaves = {"x": x} | dict(attention.named_parameters())
        gradients = torch.autograd.grad(y, leaves.values(), given["d_y"])
        return {"y": y} | {f"d_{label}": d for label, d in zip(leaves, gradients)}

    file.example(name, inputs, compute)


PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
example("v3_yarn", "v3", YARN | {"mscale": 0.8, "mscale_all_dim": 0.6}, QUERY_RANK, True)
example("v3_halves", "v3", PLAIN, None, False, rope_interleave=False)
example("v2_yarn", "v2", YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}, None, False)
example("v2_plain", "v2", PLAIN, QUERY_RANK, True)

file.write()
