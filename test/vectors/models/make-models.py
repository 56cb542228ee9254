"""Tiny random checkpoints of every family with the logits that transformers computes for them.

    pip install torch transformers safetensors
    python test/vectors/models/make-models.py

float32, eager attention, one sequence at a time. Shapes are awkward on purpose: odd head counts, heads of other than
width / heads, positions far beyond the original context, windows shorter than the sequences. Weights are large, so
that every part of the network shows in the logits. Each folder is a checkpoint with `expected.json` beside it:
`logits` are float32, little-endian, base64, [tokens, vocabulary]; `losses` are nats of each token but the first.
"""

import base64
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config
from transformers.models.auto import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HERE = pathlib.Path(__file__).parent
LENGTHS = [1, 5, 23, 64]

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def gpt2(**changes):
    sizes = dict(n_layer=2, n_head=3, n_embd=21, n_inner=50, n_positions=64, vocab_size=61, bos_token_id=None, eos_token_id=None)
    return GPT2Config(**{**sizes, **changes})


def sizes(**changes):
    base = dict(num_hidden_layers=2, intermediate_size=46, vocab_size=61, max_position_embeddings=128)
    return {**base, **changes}


# name: (config, dtype of the stored weights)
MODELS = {
    "gpt2": (gpt2(), torch.float32),
    "gpt2-untied-f16": (
        gpt2(n_head=5, n_embd=20, n_inner=None, tie_word_embeddings=False, activation_function="gelu_pytorch_tanh"),
        torch.float16,
    ),
    # Three heads that share one key, turned as Llama 3 turns, biases wherever there can be one.
    "llama3-biases": (
        LlamaConfig(
            **sizes(
                hidden_size=33,
                num_attention_heads=3,
                num_key_value_heads=1,
                head_dim=10,
                attention_bias=True,
                mlp_bias=True,
                rope_parameters=LLAMA3,
            )
        ),
        torch.float32,
    ),
    "llama-linear-tied-bf16": (
        LlamaConfig(
            **sizes(
                hidden_size=36,
                num_attention_heads=6,
                num_key_value_heads=2,
                tie_word_embeddings=True,
                rms_norm_eps=1e-3,
                rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
            )
        ),
        torch.bfloat16,
    ),
    "llama-all-keys": (
        LlamaConfig(
            **sizes(
                hidden_size=20,
                num_attention_heads=5,
                attention_bias=True,
                rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            )
        ),
        torch.float32,
    ),
    "mistral": (
        MistralConfig(
            **sizes(
                hidden_size=30, num_attention_heads=6, num_key_value_heads=2, head_dim=8, sliding_window=7
            )
        ),
        torch.float32,
    ),
    # The lowest layer sees everything.
    "qwen2": (
        Qwen2Config(
            **sizes(
                num_hidden_layers=3,
                hidden_size=30,
                num_attention_heads=3,
                num_key_value_heads=1,
                tie_word_embeddings=True,
                use_sliding_window=True,
                sliding_window=5,
                max_window_layers=1,
            )
        ),
        torch.float32,
    ),
    "qwen3": (
        Qwen3Config(
            **sizes(
                num_hidden_layers=3,
                hidden_size=28,
                num_attention_heads=6,
                num_key_value_heads=2,
                head_dim=10,
                attention_bias=True,
                use_sliding_window=True,
                sliding_window=9,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            )
        ),
        torch.float32,
    ),
    "qwen3-tied-bf16": (
        Qwen3Config(
            **sizes(
                hidden_size=24,
                num_attention_heads=3,
                num_key_value_heads=3,
                head_dim=12,
                tie_word_embeddings=True,
                rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            )
        ),
        torch.bfloat16,
    ),
}


def fill(model, dtype, generator):
    """Random weights, exactly as they will be stored."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2:
            values = noise * (1.0 if "embed" in name or "wte" in name else 1.5 / parameter.shape[1] ** 0.5)
        else:
            values = 0.3 * noise + (1.0 if "norm" in name or "ln_" in name and "weight" in name else 0.0)
        parameter.data = values.to(dtype).to(torch.float32)


def expected(model, vocabulary, generator):
    sequences = []
    for length in LENGTHS:
        ids = torch.randint(0, vocabulary, (1, length), generator=generator)
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[0].to(torch.float32)
        wide = torch.log_softmax(logits.to(torch.float64), dim=-1)
        losses = [-wide[i, ids[0, i + 1]].item() for i in range(length - 1)]
        sequences.append(
            {
                "ids": ids[0].tolist(),
                "logits": base64.b64encode(logits.contiguous().numpy().astype("<f4").tobytes()).decode(),
                "losses": losses,
            }
        )
    return sequences


def make(name, config, dtype, seed):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    fill(model, dtype, generator)
    sequences = expected(model, config.vocab_size, generator)
    model.config.dtype = str(dtype).removeprefix("torch.")
    model.config.architectures = [type(model).__name__]
    (folder / "config.json").write_text(model.config.to_json_string())
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    tensors = {key: value.to(dtype).contiguous() for key, value in model.state_dict().items() if key not in tied}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "expected.json").write_text(json.dumps({"sequences": sequences}, indent=1) + "\n")
    largest = max(abs(torch.frombuffer(bytearray(base64.b64decode(s["logits"])), dtype=torch.float32)).max() for s in sequences)
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, largest logit {largest:.1f}", file=sys.stderr)


# Published sizes: what matters here are positions near the end of long contexts.
ROTARY = {
    "llama3": LlamaConfig(
        num_hidden_layers=1,
        hidden_size=4096,
        num_attention_heads=32,
        max_position_embeddings=131072,
        rope_parameters={**LLAMA3, "rope_theta": 500000.0, "original_max_position_embeddings": 8192},
    ),
    "linear": LlamaConfig(
        num_hidden_layers=1,
        hidden_size=4096,
        num_attention_heads=32,
        max_position_embeddings=16384,
        rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
    ),
    "default": LlamaConfig(
        num_hidden_layers=1,
        hidden_size=896,
        num_attention_heads=14,
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
}


def make_rotary():
    """`rotary.json`: radians a token of each pair, and cosine and sine of some positions, float32 as above."""
    text = lambda tensor: base64.b64encode(tensor.contiguous().numpy().astype("<f4").tobytes()).decode()
    cases = []
    for name, config in ROTARY.items():
        rotary = LlamaRotaryEmbedding(config)
        last = config.max_position_embeddings - 1
        positions = torch.tensor([[0, 1, 100, last // 3, last]])
        cos, sin = (x[0, :, : config.head_dim // 2] for x in rotary(torch.zeros(1), positions))
        cases.append(
            {
                "name": name,
                "config": json.loads(config.to_json_string()),
                "frequencies": text(rotary.inv_freq),
                "positions": positions[0].tolist(),
                "cos": text(cos),
                "sin": text(sin),
            }
        )
    (HERE / "rotary.json").write_text(json.dumps(cases, indent=1) + "\n")


for seed, (name, (config, dtype)) in enumerate(MODELS.items()):
    make(name, config, dtype, seed)
make_rotary()
