"""`slopes.json`: slopes of the loss of the checkpoints here along fixed directions, in float64.

    pip install torch transformers safetensors
    python test/vectors/models/make-slopes.py

A direction is a sign for every weight, from a seeded generator (that of shared/weights/random.ts) over the tensors in
name order, of length 1 as a whole. Slopes are central differences of two steps (Richardson), so they know nothing of
anybody's backward pass; transformers' casts to float32 on the way are taken out. Of many seeds those are kept whose
slopes are largest, since of a direction that hardly changes the loss float32 would show noise alone.
"""

import json
import pathlib

import torch
from transformers.models.auto import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
STEP = 1e-3
SEEDS = range(1, 41)
KEPT = 3

softmax = torch.nn.functional.softmax
torch.nn.functional.softmax = lambda x, dim=None, dtype=None: softmax(x, dim=dim)


def wide_norm(self, x):
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def mix(value):
    h = value & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x735A2D97) & 0xFFFFFFFF
    return h ^ (h >> 15)


def direction(parameters, seed):
    state = mix(seed)
    signs = []
    for parameter in parameters:
        values = []
        for _ in range(parameter.numel()):
            state = (state + 0x9E3779B9) & 0xFFFFFFFF
            values.append(1.0 if mix(state) < 2**31 else -1.0)
        signs.append(torch.tensor(values, dtype=torch.float64).reshape(parameter.shape))
    length = sum(p.numel() for p in parameters) ** 0.5
    return [sign / length for sign in signs]


def loss_of(model, ids):
    logits = model(input_ids=ids, use_cache=False).logits[0]
    assert logits.dtype == torch.float64
    return torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])


def loss_at(model, parameters, start, along, step, ids):
    with torch.no_grad():
        for parameter, value, change in zip(parameters, start, along):
            parameter.copy_(value + step * change)
        return loss_of(model, ids).item()


def slopes_of(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = wide_norm.__get__(module)
    parameters = [p for _, p in sorted(model.named_parameters())]
    sequence = json.loads((folder / "expected.json").read_text())["sequences"][-1]
    ids = torch.tensor([sequence["ids"]])
    gradients = torch.autograd.grad(loss_of(model, ids), parameters)
    start = [p.detach().clone() for p in parameters]
    slope = lambda along: sum((g * v).sum() for g, v in zip(gradients, along)).abs().item()
    best = sorted(SEEDS, key=lambda seed: -slope(direction(parameters, seed)))[:KEPT]
    kept = []
    for seed in sorted(best):
        along = direction(parameters, seed)
        difference = lambda step: (
            loss_at(model, parameters, start, along, step, ids) - loss_at(model, parameters, start, along, -step, ids)
        ) / (2 * step)
        kept.append({"seed": seed, "slope": (4 * difference(STEP / 2) - difference(STEP)) / 3})
    return kept


if __name__ == "__main__":
    folders = sorted(path.parent for path in HERE.glob("*/model.safetensors"))
    cases = {folder.name: slopes_of(folder) for folder in folders}
    (HERE / "slopes.json").write_text(json.dumps(cases, indent=1) + "\n")
