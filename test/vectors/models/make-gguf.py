"""Makes the tiny GGUF files of test/vectors/models/gguf and expected.json, which says what an import gives.

Needs torch, transformers, tokenizers, gguf and numpy from PyPI; run it in this folder:

    python make-gguf.py

The weights are random; names in the files come from the gguf package's own table, quantised blocks and the values
they stand for from its quants module, token ids from the tokenizers that the vocabularies were taken from.
"""

import hashlib
import json
import pathlib

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).parent / "gguf"
VOCABULARY = 320
TEXT = (
    "The white whale swam on, and the great shroud of the sea rolled on as it rolled five thousand years ago. "
    "It's 1851, they'd say: 12345 barrels of oil!\n\nCall me Ishmael. Ça va? Größe, 你好. "
) * 40
SAMPLES = [
    "Call me Ishmael.",
    "the sea rolled on",
    "  two blanks, it's 2026 and 12345\n\n\tend",
    "Ça va? Größe 你好 🐋",
    "<|end|>",
]
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_pairs(pre, normalizer=None):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def sentence_piece():
    """Byte-pair encoding as SentencePiece does it: blanks as U+2581, bytes for what no piece stands for."""
    special = ["<unk>", "<s>", "</s>"]
    space = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = space
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 256 - 3, show_progress=False)
    trained.train_from_iterator([TEXT[: TEXT.index("It's")]], trainer)
    trained = json.loads(trained.to_str())["model"]
    pieces = special + [f"<0x{b:02X}>" for b in range(256)] + list(trained["vocab"])
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [tuple(m) for m in trained["merges"]]
    model = models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = space
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(special)
    return tokenizer, pieces, merges


def rope_factors(config):
    """As llama.cpp's converter computes them from the llama3 scaling."""
    scaling = config.rope_parameters
    dim = config.head_dim
    base = scaling["rope_theta"]
    freqs = 1.0 / (base ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    low = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
    high = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
    out = []
    for freq in freqs:
        wavelength = 2 * np.pi / freq
        if wavelength < high:
            out.append(1.0)
        elif wavelength > low:
            out.append(scaling["factor"])
        else:
            smooth = (scaling["original_max_position_embeddings"] / wavelength - scaling["low_freq_factor"]) / (
                scaling["high_freq_factor"] - scaling["low_freq_factor"]
            )
            out.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(out, dtype=np.float32)


def interleave(weights, heads):
    """What the converter does to Llama's queries and keys."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(weights.shape)


def deinterleave(weights, heads):
    rows = weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(weights.shape)


TYPES = {
    "F32": gguf.GGMLQuantizationType.F32,
    "F16": gguf.GGMLQuantizationType.F16,
    "BF16": gguf.GGMLQuantizationType.BF16,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
    "Q4_0": gguf.GGMLQuantizationType.Q4_0,
    "Q4_1": gguf.GGMLQuantizationType.Q4_1,
}


def stored(values, kind):
    """The array for the file, the bytes that the import is to give, and their dtype."""
    if kind == "F32":
        return values, values.astype("<f4"), "F32"
    if kind == "F16":
        half = values.astype("<f2")
        return half, half, "F16"
    raw = gguf.quants.quantize(values, TYPES[kind])
    if kind == "BF16":
        return raw, raw.view("<u2").reshape(values.shape), "BF16"
    return raw, gguf.quants.dequantize(raw, TYPES[kind]).astype("<f4"), "F32"


def write(name, arch, model, kind, add_tokenizer, tied_twice=False):
    config = model.config
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", arch)
    layers = config.num_hidden_layers
    table = gguf.get_tensor_name_map({v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[arch], layers)
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(layers)
    writer.add_head_count(config.num_attention_heads)
    if arch == "gpt2":
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        if arch != "qwen2":
            writer.add_key_length(config.head_dim)
            writer.add_value_length(config.head_dim)
        if config.rope_parameters["rope_type"] == "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(config.rope_parameters["factor"])
        if config.rope_parameters["rope_type"] == "llama3":
            writer.add_tensor("rope_freqs.weight", rope_factors(config))
    add_tokenizer(writer)
    expected = {}
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        heads = {"q_proj": config.num_attention_heads, "k_proj": getattr(config, "num_key_value_heads", 0)}.get(
            key.split(".")[-2]
        )
        values = tensor.detach().numpy()
        transposed = arch == "gpt2" and key.split(".")[-2] in ("c_attn", "c_proj", "c_fc") and values.ndim == 2
        interleaved = arch == "llama" and heads
        if transposed:
            values = values.T
        if interleaved:
            values = interleave(values, heads)
        values = np.ascontiguousarray(values)
        one = kind if values.ndim == 2 else "F32"
        raw, result, dtype = stored(values, one)
        target = table.get_name(key, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(target, raw, raw_dtype=TYPES[one] if one not in ("F32", "F16") else None)
        if tied_twice and target == "token_embd.weight":
            writer.add_tensor("output.weight", raw, raw_dtype=TYPES[one] if one not in ("F32", "F16") else None)
        if interleaved:
            result = deinterleave(result, heads)
        if transposed:
            result = np.ascontiguousarray(result.T)
        expected[key] = {
            "dtype": dtype,
            "shape": list(tensor.shape),
            "sha256": hashlib.sha256(np.ascontiguousarray(result).tobytes()).hexdigest(),
        }
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def add_byte_pairs(tokenizer, pre, template=None):
    parsed = json.loads(tokenizer.to_str())
    vocab = sorted(parsed["model"]["vocab"].items(), key=lambda item: item[1])
    end = tokenizer.token_to_id("<|end|>")

    def add(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list([token for token, _ in vocab])
        writer.add_token_types([3 if i == end else 1 for _, i in vocab])
        writer.add_token_merges([" ".join(merge) for merge in parsed["model"]["merges"]])
        writer.add_bos_token_id(end)
        writer.add_eos_token_id(end)
        writer.add_add_bos_token(False)
        if template:
            writer.add_chat_template(template)

    return add


def add_sentence_piece(pieces, merges):
    ranks = {left + right: i for i, (left, right) in reversed(list(enumerate(merges)))}

    def add(writer):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(pieces)
        writer.add_token_scores([-float(ranks[p]) if p in ranks else -1000.0 for p in pieces])
        writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (len(pieces) - 259))
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(True)

    return add


def randomised(cls, config):
    model = cls(config).to(torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def main():
    torch.manual_seed(20)
    OUT.mkdir(exist_ok=True)
    sizes = dict(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    llama3 = dict(
        rope_type="llama3",
        rope_theta=500000.0,
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )
    t = transformers
    gpt2 = t.GPT2Config(
        vocab_size=VOCABULARY, n_positions=128, n_embd=32, n_layer=1, n_head=4, bos_token_id=0, eos_token_id=0
    )
    pieces, pieces_list, merges = sentence_piece()
    gpt2_tokens = byte_pairs(pre_tokenizers.ByteLevel(add_prefix_space=False))
    llama3_tokens = byte_pairs(split(LLAMA3_PATTERN))
    qwen2_tokens = byte_pairs(split(QWEN2_PATTERN), normalizers.NFC())
    digits = pre_tokenizers.Digits(individual_digits=True)
    smollm_tokens = byte_pairs(
        pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    )
    template = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"
    cases = [
        ("gpt2-f32", "gpt2", t.GPT2LMHeadModel, gpt2, "F32", gpt2_tokens, add_byte_pairs(gpt2_tokens, "gpt-2"), True),
        ("gpt2-q8_0", "gpt2", t.GPT2LMHeadModel, gpt2, "Q8_0", gpt2_tokens, add_byte_pairs(gpt2_tokens, "gpt-2"), False),
        (
            *("llama-f16", "llama", t.LlamaForCausalLM),
            t.LlamaConfig(**sizes | dict(bos_token_id=1, eos_token_id=2), tie_word_embeddings=False, rope_theta=10000.0),
            *("F16", pieces, add_sentence_piece(pieces_list, merges), False),
        ),
        (
            *("llama3-q8_0", "llama", t.LlamaForCausalLM),
            t.LlamaConfig(**sizes | dict(max_position_embeddings=16384), tie_word_embeddings=True, rope_parameters=llama3, head_dim=16, attention_bias=True),
            *("Q8_0", llama3_tokens, add_byte_pairs(llama3_tokens, "llama-bpe", template), False),
        ),
        (
            *("llama-q4_1", "llama", t.LlamaForCausalLM),
            t.LlamaConfig(**sizes, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0)),
            *("Q4_1", smollm_tokens, add_byte_pairs(smollm_tokens, "smollm"), False),
        ),
        (
            *("qwen2-q4_0", "qwen2", t.Qwen2ForCausalLM),
            t.Qwen2Config(**sizes, tie_word_embeddings=True),
            *("Q4_0", qwen2_tokens, add_byte_pairs(qwen2_tokens, "qwen2"), False),
        ),
        (
            *("qwen3-bf16", "qwen3", t.Qwen3ForCausalLM),
            t.Qwen3Config(**sizes, head_dim=16, tie_word_embeddings=True),
            *("BF16", qwen2_tokens, add_byte_pairs(qwen2_tokens, "qwen2"), False),
        ),
    ]
    out = {}
    for name, arch, cls, config, kind, tokenizer, add_tokenizer, twice in cases:
        tensors = write(name, arch, randomised(cls, config), kind, add_tokenizer, twice)
        encoded = [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in SAMPLES]
        out[name] = {"config": expected_config(config), "tensors": tensors, "encoded": encoded}
    (OUT / "blocks.json").write_text(json.dumps(blocks(), indent=1) + "\n")
    (OUT / "expected.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")


def blocks():
    """Two random blocks of each quantised kind, and the values that the gguf package reads in them."""
    random = np.random.default_rng(20)
    out = {}
    for name in ["Q4_0", "Q4_1", "Q8_0", "Q6_K"]:
        kind = gguf.GGMLQuantizationType[name]
        size = gguf.GGML_QUANT_SIZES[kind][1]
        raw = random.integers(0, 256, (2, size), dtype=np.uint8)
        # The scales are float16: random bits may be no number.
        places = {"Q6_K": [208], "Q4_1": [0, 2]}.get(name, [0])
        for place in places:
            raw[:, place : place + 2] = random.standard_normal(2).astype("<f2").view(np.uint8).reshape(2, 2)
        values = gguf.quants.dequantize(raw, kind).astype("<f4")
        out[name] = {"blocks": raw.tobytes().hex(), "float32": values.tobytes().hex()}
    return out


def expected_config(config):
    keys = ["model_type", "tie_word_embeddings", "vocab_size", "num_key_value_heads", "head_dim", "intermediate_size"]
    full = config.to_dict()
    return {key: full[key] for key in keys if key in full} | {"rope": full.get("rope_parameters")}


main()
