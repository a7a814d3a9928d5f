"""Golden vectors of whole models: tiny checkpoints in the formats of real ones, and what
transformers finds with them.

    python make_models.py    writes data/models/ and data/models.txt

Needs transformers, tokenizers and gguf beside PyTorch. The decoders are trained for a moment, so
that what they predict is not the same for all texts; weights are rounded to bfloat16 numbers that
float16 holds too, so that every file has the same ones.
"""

import json
import pathlib

import gguf
import numpy
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from golden_file import DATA, SEED, File

FOLDER = DATA / "models"
TEXT = (
    "A model file is matrices and a few numbers. The model reads a text, a token at a time, and "
    "the token that it guesses is the one that it has read most often.\n"
    "Attention is a mean of values, weighted by how well a key suits a query; a mask says what is "
    "seen, and a scale how sharply.\n\n"
    "In 2017 there were 8 heads of 64 numbers; in 2024 there are 32, and 8 of keys. We'll see what "
    "they're good for: it's a matter of taste, isn't it?\n"
    "    for (int i = 0; i < 12; ++i) sum += x[i] * y[i];\n"
    "Ein Wörterbuch, naïve façades, 漢字 und 3,14159 — alles Text.\n") * 3
PROMPTS = ("The model reads", "Attention is a mean of values, weighted by", "In 2017 there were 8 h")
PLACES = 5  # greedy tokens whose two likeliest logits are too close would prove nothing
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+"
          r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TRICKY = (
    "", " ", "a", "Hello  world", "It's WE'LL they'RE 'tis 'S", "x = 3.14159; y=271828;",
    "tabs\tand\r\nlines\n\n\n  indented\n ", "naïve façade Ünïcode ñandú ÅNGSTRÖM İstanbul ΣΊΣΥΦΟΣ",
    "漢字かな交じり文 한국어 العربية हिन्दी", "emoji 👩‍👩‍👧 and ½ Ⅷ ² ٣٤ digits 12345678",
    "punctuation!? (really) -- [yes] {no} <tag> $5 ^caret `tick` ¿qué?", "no\u00a0break\u2003em\u3000wide",
    "word" * 40, "trailing space ", "<|end|>special<|end|> here", "'" , "a'b 'll'll", "...\n...",
)

torch.manual_seed(SEED)
file = File("models", f"transformers {transformers.__version__}")


def bytes_of(text):
    return torch.tensor([float(b) for b in text.encode()]).double()


def array(label, values):
    values = torch.as_tensor(values).double()
    if values.dim() == 1 and values.numel() == 0:
        file.lines.append(f"array {label} 1 0")
    else:
        file._array(label, values)


def byte_pairs(pattern):
    """A tokenizer as Llama 3's or Qwen 2's: words by a pattern, then byte-level pairs."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=pattern == LLAMA3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if pattern == QWEN2:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=310, special_tokens=["<|begin|>", "<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if pattern == LLAMA3:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    return tokenizer


def trained(model, tokenizer):
    ids = torch.tensor([tokenizer.encode(TEXT).ids])
    steps = torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=0)
    for _ in range(40):
        loss = model(ids, labels=ids).loss
        steps.zero_grad()
        loss.backward()
        steps.step()
    with torch.no_grad():
        for parameter in model.parameters():
            rounded = parameter.bfloat16().float()
            parameter.copy_(torch.where(rounded.abs() < 2.0**-16, 0, rounded))
    return model.eval()


def save(name, model, tokenizer):
    """The model as it is read again: to bfloat16 go the rotation's frequencies too, which no file
    has."""
    folder = FOLDER / name
    model.bfloat16().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return type(model).from_pretrained(folder, dtype=torch.float32).eval()


def decoder_example(name, model, tokenizer):
    """Greedy tokens behind each prompt, the logits of its last row, and a text's perplexity."""
    model = model.double()
    file.lines.append(f"example {name}")
    for number, prompt in enumerate(PROMPTS):
        ids = tokenizer.encode(prompt).ids
        array(f"prompt_{number}", bytes_of(prompt))
        array(f"ids_{number}", ids)
        with torch.no_grad():
            array(f"logits_{number}", model(torch.tensor([ids])).logits[0, -1:])
            written = []
            for _ in range(12):
                logits = model(torch.tensor([ids + written])).logits[0, -1]
                best = logits.topk(2).values
                assert best[0] - best[1] > 10.0**-PLACES * best[0].abs(), "a tie"
                written.append(int(logits.argmax()))
        array(f"greedy_{number}", written)
    ids = torch.tensor([tokenizer.encode(TEXT[:400]).ids])
    with torch.no_grad():
        perplexity = model(ids, labels=ids).loss.exp().item()
    array("text", bytes_of(TEXT[:400]))
    array("perplexity", [perplexity])


def token_examples(name, encode):
    file.lines.append(f"example {name}")
    for number, text in enumerate(TRICKY):
        array(f"ids_{number}", encode(text))


def word_examples():
    """How many bytes each word of a text has."""
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    patterns = {
        "gpt2": whole,
        "llama3": pre_tokenizers.Sequence(
            [pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated"), plain]),
        "qwen2": pre_tokenizers.Sequence(
            [pre_tokenizers.Split(tokenizers.Regex(QWEN2), "isolated"), plain]),
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])}
    for name, pattern in patterns.items():
        token_examples(f"words_{name}", lambda text: [
            len(word) for word, _ in pattern.pre_tokenize_str(text)] if text else [])


def interleaved(weight, heads):
    """Rows of halves as pairs of neighbours, as the conversion to GGUF has them."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows,
                                                                                      columns)


def save_gguf(name, model, tokenizer):
    config = model.config
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in ("<|begin|>", "<|end|>") else 1 for token in tokens])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)

    half = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
             "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    for full, weight in model.state_dict().items():
        weight = weight.float()
        short = full.removeprefix("model.").removesuffix(".weight")
        if short == "lm_head":
            continue  # the embedding itself
        if short.startswith("layers."):
            _, layer, part = short.split(".", 2)
            short = f"blk.{layer}.{names[part]}"
            weight = interleaved(weight, half[names[part]]) if names[part] in half else weight
        else:
            short = {"embed_tokens": "token_embd", "norm": "output_norm"}[short]
        if weight.dim() == 1 or "attn_q" in short:  # as floats; others as float16 or bfloat16
            writer.add_tensor(f"{short}.weight", weight.numpy())
        elif "ffn_up" in short:
            writer.add_tensor(f"{short}.weight", weight.half().numpy())
        else:
            bits = weight.bfloat16().view(torch.uint16).numpy()
            writer.add_tensor(f"{short}.weight", bits.view(numpy.uint8),
                              raw_dtype=gguf.GGMLQuantizationType.BF16)
    plain = config.rope_parameters["rope_theta"] ** -(
        torch.arange(0, config.head_dim, 2).double() / config.head_dim)
    stretched = model.model.rotary_emb.inv_freq.double()
    writer.add_tensor("rope_freqs.weight", (plain / stretched).float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama():
    tokenizer = byte_pairs(LLAMA3)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=6, vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=1,
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0,
                         "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 128})
    model = trained(transformers.LlamaForCausalLM(config), tokenizer)
    model = save("llama", model, tokenizer)
    save_gguf("llama", model, tokenizer)
    decoder_example("llama", model, tokenizer)
    token_examples("llama_tokens", lambda text: tokenizer.encode(text).ids)


def qwen2():
    tokenizer = byte_pairs(QWEN2)
    config = transformers.Qwen2Config(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512,
        rms_norm_eps=1e-6, tie_word_embeddings=False, bos_token_id=0, eos_token_id=1)
    model = trained(transformers.Qwen2ForCausalLM(config), tokenizer)
    model = save("qwen2", model, tokenizer)
    decoder_example("qwen2", model, tokenizer)
    token_examples("qwen2_tokens", lambda text: tokenizer.encode(text).ids)
    # The same vocabulary in the two older files, whose words are GPT-2's.
    tokenizer.model.save(str(FOLDER / "qwen2"))
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    token_examples("gpt2_tokens", lambda text: tokenizer.encode(text).ids)


def bert():
    trainer = tokenizers.BertWordPieceTokenizer()
    trainer.train_from_iterator([TEXT], vocab_size=200, min_frequency=1, show_progress=False)
    folder = FOLDER / "bert"
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save_model(str(folder))
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    config = transformers.BertConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        vocab_size=len(tokenizer), max_position_embeddings=48, initializer_range=0.3)
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn_like(parameter)
            rounded = parameter.bfloat16().float()
            parameter.copy_(torch.where(rounded.abs() < 2.0**-16, 0, rounded))
    model.half().save_pretrained(folder)
    model = model.double()

    def vectors(texts):
        given = tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="pt")
        with torch.no_grad():
            rows = model(**given).last_hidden_state
        seen = given["attention_mask"].double()[..., None]
        means = (rows * seen).sum(1) / seen.sum(1)
        return torch.nn.functional.normalize(means, dim=1)

    texts = ["The model reads a text.", "A text is read by the model", "Attention is a mean.",
             "ÜBER naïve façades!", "漢字", "one", TEXT, "In 2017 there were 8 heads; it's good."]
    file.lines.append("example bert")
    for number, text in enumerate(texts):
        array(f"text_{number}", bytes_of(text))
    array("vectors", vectors(texts))
    token_examples("bert_tokens", lambda text: tokenizer(text)["input_ids"])


FOLDER.mkdir(parents=True, exist_ok=True)
file.lines.append("example texts")
for number, text in enumerate(TRICKY):
    array(f"text_{number}", bytes_of(text))
llama()
qwen2()
bert()
word_examples()
file.write()
