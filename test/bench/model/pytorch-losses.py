"""How fast PyTorch computes losses: the anchor of pytorch.ts.

    python pytorch-losses.py FOLDER THREADS SECONDS

FOLDER holds config.json, model.safetensors and tokens.json: `ids` and `labels` of equally long windows, which are
evaluated together. Prints one JSON object.
"""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

folder, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
with open(f"{folder}/tokens.json") as file:
    tokens = json.load(file)
ids, labels = torch.tensor(tokens["ids"]), torch.tensor(tokens["labels"]).flatten()


@torch.inference_mode()
def losses():
    logits = model(ids, use_cache=False).logits.flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


loss = losses().double().mean().item()
best, end = 0.0, time.perf_counter() + seconds
while best == 0 or time.perf_counter() < end:
    start = time.perf_counter()
    losses()
    best = max(best, labels.numel() / (time.perf_counter() - start))
print(json.dumps({"tokensPerSecond": best, "loss": loss, "version": torch.__version__}))
