"""What the golden vectors are made of: a tiny model, its Meta payload, certificates, and how they are written."""

import json
import random
from pathlib import Path

from reference import ZERO, cbor, digest, draw_windows, key, merkle_root, sha256

HERE = Path(__file__).parent
NETWORK = sha256(b"a network")


def tagged(value):
    if isinstance(value, (bytes, bytearray)):
        return {"$hex": value.hex()}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else {"$int": str(value)}
    if isinstance(value, dict):
        return {k: tagged(v) for k, v in value.items()}
    return [tagged(v) for v in value]


def write(name, vectors):
    source = "test/vectors/make-*.py, an independent implementation in Python"
    text = json.dumps({"source": source, **tagged(vectors)}, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n")


def filled(n, start=0):
    return bytes((start + i) % 256 for i in range(n))


def certificate(submission, head, salt, base_root, candidate_root, losses, manifest, workers, network=NETWORK):
    total, count = manifest["validation"]["windows"], manifest["gate"]["windows"]
    windows = draw_windows(digest("seed", network, submission, head, salt), total, count)
    attestations = []
    for worker, (base, candidate) in zip(workers, losses):
        results = sha256(cbor([windows, base, candidate]))
        signed = digest("attestation", network, submission, head, base_root, candidate_root, results)
        attestations.append({
            "worker": worker.public, "backend": "wasm", "base": base, "candidate": candidate,
            "signature": worker.sign(signed),
        })
    return {"head": head, "windows": windows, "attestations": attestations}


def shard(windows, vocabulary, context):
    width = 2 if vocabulary <= 65_536 else 4
    head = b"ABWS" + bytes([1, width, 0, 0])
    head += vocabulary.to_bytes(4, "little") + (context + 1).to_bytes(4, "little")
    head += len(windows).to_bytes(4, "little")
    return head + b"".join(t.to_bytes(width, "little") for w in windows for t in w)


CONFIG = json.dumps({
    "model_type": "gpt2", "activation_function": "gelu_new", "n_layer": 1, "n_head": 1, "n_embd": 2,
    "n_positions": 4, "vocab_size": 8, "n_inner": 3,
})
SHAPES = {
    "transformer.wte.weight": [8, 2], "transformer.wpe.weight": [4, 2],
    "transformer.ln_f.weight": [2], "transformer.ln_f.bias": [2],
    **{"transformer.h.0." + n: s for n, s in {
        "ln_1.weight": [2], "ln_1.bias": [2], "attn.c_attn.weight": [2, 6], "attn.c_attn.bias": [6],
        "attn.c_proj.weight": [2, 2], "attn.c_proj.bias": [2], "ln_2.weight": [2], "ln_2.bias": [2],
        "mlp.c_fc.weight": [2, 3], "mlp.c_fc.bias": [3], "mlp.c_proj.weight": [3, 2], "mlp.c_proj.bias": [2],
    }.items()},
}
CONTEXT, SHARD_WINDOWS, WINDOWS = 3, 5, 12


def manifest(**changes):
    tokens = random.Random(5)
    windows = [[tokens.randrange(8) for _ in range(CONTEXT + 1)] for _ in range(WINDOWS)]
    shards = [shard(windows[i : i + SHARD_WINDOWS], 8, CONTEXT) for i in range(0, WINDOWS, SHARD_WINDOWS)]
    return {
        "v": 1, "name": "vectors", "unsafe_keys": True, "runtime": "aiblock/1",
        "rules": [{"name": "honesty", "text": "Says what is so."}],
        "config": CONFIG, "tokenizer": "{}", "chat_template": "",
        "validation": {
            "context": CONTEXT, "windows": WINDOWS, "shard_windows": SHARD_WINDOWS, "root": merkle_root(shards),
            "shards": shards, "held_out": {"root": filled(32, 90), "windows": 4},
        },
        "gate": {"delta_micro_nats": 2_000, "z_milli": 3_000, "windows": 8},
        "quorum": {"attestations": 2, "tolerance_micro_nats": 10},
        "pow": {"bits": 0x2000FFFF},
        "reward": {
            "units": 5_000_000_000,
            "split_bp": {"submitter": 6_000, "evaluators": 2_000, "grinders": 1_500, "pool": 500},
            "window_units": 1_000, "vesting_bp": 0,
        },
        "fees": {"chat_token_units": 0},
        "pool_key": key("pool").public,
        "governors": {"threshold": 2, "keys": [key(f"governor {i}").public for i in range(3)]},
        **changes,
    }


def tensor_bytes(name, version):
    """Float32 values that are all finite: the exponent bits are never all ones."""
    size = 1
    for n in SHAPES[name]:
        size *= n
    raw = b"".join(sha256(f"{name} {version} {i}".encode()) for i in range(size // 8 + 1))[: 4 * size]
    return bytes(b & 0x3F if i % 4 == 3 else b for i, b in enumerate(raw))
