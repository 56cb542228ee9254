"""Golden vectors of sampling: the logits processors of transformers, in the order in which `generate` applies them.

Needs torch and transformers (made with 2.13 and 5.23): python test/vectors/make-sampling.py
"""

import json
from pathlib import Path

import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
SETTINGS = [
    {},
    {"temperature": 0.6},
    {"temperature": 2.5, "repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"top_k": 1},
    {"top_k": 5, "temperature": 0.7},
    {"top_p": 0.9},
    {"top_p": 0.35, "temperature": 1.7},
    {"top_p": 0.01},
    {"min_p": 0.1},
    {"min_p": 0.6, "temperature": 3.0},
    {"top_k": 12, "top_p": 0.8},
    {"top_k": 20, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8, "repetition_penalty": 1.15},
]
VOCABULARY = 24


def processed(logits, seen, how):
    scores = torch.tensor([logits], dtype=torch.float32)
    ids = torch.tensor([seen])
    chain = []
    if how["repetition_penalty"] != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(how["repetition_penalty"]))
    if how["temperature"] != 1.0:
        chain.append(TemperatureLogitsWarper(how["temperature"]))
    if how["top_k"]:
        chain.append(TopKLogitsWarper(how["top_k"]))
    if how["top_p"] < 1.0:
        chain.append(TopPLogitsWarper(how["top_p"]))
    if how["min_p"]:
        chain.append(MinPLogitsWarper(how["min_p"]))
    for step in chain:
        scores = step(ids, scores)
    return torch.softmax(scores.double(), dim=-1)[0].tolist()


def main():
    generator = torch.Generator().manual_seed(7)
    cases = []
    for change in SETTINGS:
        for spread in (1.0, 6.0):
            logits = (torch.randn(VOCABULARY, generator=generator) * spread).tolist()
            seen = torch.randint(VOCABULARY, (9,), generator=generator).tolist()
            how = {**OFF, **change}
            cases.append({"logits": logits, "seen": seen, **how, "probabilities": processed(logits, seen, how)})
    source = "test/vectors/make-sampling.py: logits processors of transformers"
    text = json.dumps({"source": source, "cases": cases}, indent=1)
    (Path(__file__).parent / "sampling.json").write_text(text + "\n")


main()
