"""What the models of worker/model/backend/self-test-cases.ts give, by PyTorch and transformers.

    python make-self-test.py        (torch, transformers)

Prints one line of JSON for each family, to be compared with `expected` there.
"""

import json

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Qwen3Config, Qwen3ForCausalLM

MASK = 0xFFFFFFFF
SEQUENCES = 2


def mix(h):
    """The bijective mixer of shared/weights/random.ts."""
    h = ((h ^ (h >> 16)) * 0x21F0AAAD) & MASK
    h = ((h ^ (h >> 15)) * 0x735A2D97) & MASK
    return h ^ (h >> 15)


class Uniform:
    def __init__(self, seed):
        self.state = mix(seed)

    def __call__(self):
        self.state = (self.state + 0x9E3779B9) & MASK
        return mix(self.state) / 2**32


def seed_weights(model):
    """As TinyModel: tensors in the order of their names, values in the order of their bytes."""
    uniform = Uniform(1)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    for name, tensor in sorted(model.state_dict().items()):
        if name in tied:
            continue
        vector = tensor.dim() == 1
        centre = 1 if vector and name.endswith(".weight") else 0
        width = 0.2 if vector else 2 / tensor.shape[1] ** 0.5
        values = [centre + (uniform() - 0.5) * width for _ in range(tensor.numel())]
        tensor.copy_(torch.tensor(values, dtype=torch.float64).view(tensor.shape).float())


def outcome(model, context, vocabulary):
    uniform = Uniform(2)
    ids = torch.tensor([int(uniform() * vocabulary) for _ in range(SEQUENCES * context + 1)])
    inputs, labels = ids[:-1].view(SEQUENCES, context), ids[1:].view(SEQUENCES, context)
    each = torch.nn.functional.cross_entropy(
        model(inputs).logits.flatten(0, 1), labels.flatten(), reduction="none"
    )
    each.mean().backward()
    gradient = torch.stack([p.grad.double().square().sum() for p in model.parameters()]).sum().sqrt()
    sequence = ids[: context // 2].tolist()
    tokens, margins = [], []
    while len(sequence) <= context:
        best = model(torch.tensor([sequence])).logits[0, -1].topk(2).values
        margins.append((best[0] - best[1]).item())
        tokens.append(int(model(torch.tensor([sequence])).logits[0, -1].argmax()))
        sequence.append(tokens[-1])
    losses = each.view(SEQUENCES, context).double().mean(1)
    return {
        "lossMicroNats": [round(loss * 1e6) for loss in losses.tolist()],
        "gradientMicro": round(gradient.item() * 1e6),
        "tokens": tokens,
        "leastMargin": min(margins),
    }


COMMON = {"attn_implementation": "eager"}
MODELS = {
    "gpt2": GPT2LMHeadModel(
        GPT2Config(n_layer=2, n_head=3, n_embd=18, n_inner=50, n_positions=12, vocab_size=67, **COMMON)
    ),
    "qwen3": Qwen3ForCausalLM(
        Qwen3Config(
            num_hidden_layers=2,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=10,
            hidden_size=22,
            intermediate_size=46,
            max_position_embeddings=12,
            vocab_size=67,
            rope_theta=10_000,
            tie_word_embeddings=False,
            **COMMON,
        )
    ),
}

for family, model in MODELS.items():
    model.eval()
    with torch.no_grad():
        seed_weights(model)
    print(family, json.dumps(outcome(model, 12, 67)))
