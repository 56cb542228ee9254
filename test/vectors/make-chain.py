"""Writes chain.json: both chains from genesis on, with two accepted submissions. Run as make-protocol.py says."""

import random
from math import prod

from fixtures import CONTEXT, SHAPES, certificate, manifest, tensor_bytes, write
from reference import (
    NO_WORK, ZERO, by_address, cbor, digest, gate, grind, journal, journal_place, key, merkle_path, merkle_root, merkle_steps,
    model_root, sha256, submission_id, tensor_leaves, work_log,
)

GENESIS_BITS = 0x207FFFFF
START = 1_767_225_600_000
POOL, SECRET = key("pool"), sha256(b"the secret of the salts")
WORKERS = [key("worker"), key("second worker")]


def header(chain, previous, **fields):
    index, prev_hash = previous
    return {"version": 1, "index": index + 1, "prev_hash": prev_hash, "chain_id": chain, **fields}


class Chain:
    def __init__(self, network, rule):
        self.network, self.rule = network, rule
        self.previous, self.sealed = (-1, ZERO), (ZERO, ZERO)  # (hash, root)
        self.tensors, self.blocks, self.journal, self.entries = {}, [], (0, ZERO), []
        self.work = {"evaluation": (0, ZERO), "grinding": (0, ZERO)}
        self.units = {"evaluation": [], "grinding": []}

    def add(self, miner, body, payload, bits, at):
        encoded = cbor(body)
        payload_hash = sha256(payload)
        data, block_hash = grind(header(
            "B", self.previous, timestamp=at, points_to=self.network, payload_hash=payload_hash,
            payload_size=len(payload), miner_pub=miner.public,
            payload_sig=miner.sign(digest("payload", self.network, payload_hash)), body_hash=sha256(encoded), bits=bits,
        ))
        self.previous = (self.previous[0] + 1, block_hash)
        self.blocks.append({"header": data, "hash": block_hash, "body": encoded, "payload": payload})

    def submit(self, miner, submission, version, names, seal, bits, at):
        for part, name in enumerate(names):
            payload = tensor_bytes(name, version)
            self.tensors[name] = ("F32", SHAPES[name], sha256(payload))
            body = {
                "v": 1, "submission": submission, "part": part, "parts": len(names), "name": name, "dtype": "F32",
                "shape": SHAPES[name], "root": model_root(self.tensors),
            }
            if part == len(names) - 1:
                body["seal"] = seal
            self.add(miner, body, payload, bits, at)
        self.sealed = (self.previous[1], model_root(self.tensors))


    def credit(self, kind, done, at):
        work = [{"worker": w.public, "address": w.address, "credit": credit, "ref": ref} for w, ref, credit in done]
        units, self.work[kind] = work_log(self.network, kind, self.work[kind], work, at)
        self.units[kind] += units


def genesis_meta(rule):
    payload = cbor(rule)
    payload_hash = sha256(payload)
    signed = digest("meta", ZERO, (0).to_bytes(8, "big"), ZERO, payload_hash)
    governors = [key(f"governor {i}") for i in (2, 0)]
    body = cbor({"v": 1, "signatures": [{"key": g.public, "signature": g.sign(signed)} for g in governors]})
    data, network = grind(header(
        "A", (-1, ZERO), timestamp=START, points_to=ZERO, payload_hash=payload_hash, payload_size=len(payload),
        miner_pub=POOL.public, payload_sig=POOL.sign(digest("payload", ZERO, payload_hash)), body_hash=sha256(body),
        bits=GENESIS_BITS,
    ))
    return {"header": data, "hash": network, "body": body, "payload": payload}


def change_meta(chain, rule):
    """Block A1 on the last B head, signed by the governors of A0."""
    payload = cbor(rule)
    payload_hash = sha256(payload)
    signed = digest("meta", chain.network, (1).to_bytes(8, "big"), chain.network, payload_hash)
    governors = [key(f"governor {i}") for i in (0, 1)]
    body = cbor({"v": 1, "signatures": [{"key": g.public, "signature": g.sign(signed)} for g in governors]})
    data, made = grind(header(
        "A", (0, chain.network), timestamp=START + 600_000, points_to=chain.sealed[0], payload_hash=payload_hash,
        payload_size=len(payload), miner_pub=POOL.public,
        payload_sig=POOL.sign(digest("payload", chain.network, payload_hash)), body_hash=sha256(body), bits=GENESIS_BITS,
    ))
    return {"header": data, "hash": made, "body": body, "payload": payload}


def salt_of(network, height):
    return digest("salt", network, SECRET, height.to_bytes(8, "big"))


def accept(chain, miner, version, names, salt, rnd):
    """One accepted submission: certificate, rewards, blocks. Returns what a verifier should find."""
    head, base_root = chain.sealed
    tensors = {n: ("F32", SHAPES[n], sha256(tensor_bytes(n, version))) for n in names}
    candidate_root = model_root({**chain.tensors, **tensors})
    submission = submission_id(chain.network, miner.public, base_root, chain.network, tensors)
    count = chain.rule["gate"]["windows"]
    base = [rnd.randrange(2_000_000, 2_100_000) for _ in range(count)]
    candidate = [loss - rnd.randrange(40_000, 60_000) for loss in base]
    again = [loss + rnd.randrange(-5, 6) for loss in candidate]
    proof = certificate(
        submission, head, salt, base_root, candidate_root, [(base, candidate), (base, again)], chain.rule, WORKERS,
        chain.network,
    )
    moves = [["reward-submitter", submission, None, miner.address, 3_000_000_000]]
    for kind, log, amount in [("evaluator", "evaluation", 1_000_000_000), ("grinder", "grinding", 750_000_000)]:
        parts = by_address(amount, chain.units[log]) or [(POOL.address, amount)]
        moves += [[f"reward-{kind}", submission, None, address, part] for address, part in parts]
    moves.append(["reward-pool", submission, None, POOL.address, 250_000_000])
    next_salt = salt_of(chain.network, chain.previous[0] + len(names))
    seal = {
        "base": base_root, "salt": salt, "next_salt_hash": sha256(next_salt), "certificate": proof,
        "journal": journal_place(*chain.journal, chain.entries),
        "work": {kind: {"seq": seq, "head": newest} for kind, (seq, newest) in chain.work.items()},
        "rewards": digest("rewards", chain.network, cbor(moves)),
    }
    at = START + 60_000 * version
    chain.submit(miner, submission, version, names, seal, chain.rule["pow"]["bits"], at)
    ground = [block["hash"] for block in chain.blocks[-len(names):]]
    credit = 2 * count * CONTEXT * sum(prod(shape) for shape in SHAPES.values())
    chain.credit("evaluation", [(worker, submission, credit) for worker in WORKERS], at)
    chain.credit("grinding", [(WORKERS[1], block_hash, 2) for block_hash in ground], at)
    entries, chain.journal = journal(chain.network, chain.journal, moves, at)
    chain.entries += entries
    rule = chain.rule["gate"]
    return next_salt, {
        "submission": submission, "root": candidate_root, "next_salt": next_salt, "entries": entries,
        "verdict": gate(base, candidate, rule["delta_micro_nats"], rule["z_milli"]),
    }


def make():
    rnd, rule = random.Random(3), manifest()
    meta = genesis_meta(rule)
    chain = Chain(meta["hash"], rule)
    salt = digest("salt", meta["hash"], ZERO, bytes(8))
    seal = {
        "base": ZERO, "salt": ZERO, "next_salt_hash": sha256(salt), "certificate": None,
        "journal": journal_place(0, ZERO, []), "work": NO_WORK, "rewards": ZERO,
    }
    chain.submit(POOL, ZERO, 0, sorted(SHAPES), seal, GENESIS_BITS, START)
    genesis = {"root": chain.sealed[1], "salt": salt}
    salt, first = accept(chain, key("miner"), 1, sorted(SHAPES)[3:6], salt, rnd)
    salt, second = accept(chain, key("another miner"), 2, ["transformer.wte.weight"], salt, rnd)
    write("chain", {
        "secrets": {
            "workers": [w.secret for w in WORKERS], "miner": key("miner").secret, "pool": POOL.secret,
            "governors": [key(f"governor {i}").secret for i in range(3)],
        },
        "meta": meta, "blocks": chain.blocks, "genesis": genesis, "submissions": [first, second],
        "journal": journal_place(*chain.journal, chain.entries), "work": chain.units,
        "change": change_meta(chain, {**rule, "rules": [], "pow": {"bits": 0x1F00FFFF}, "governors": {
            "threshold": 1, "keys": [key("governor 2").public],
        }}),
        "proofs": {  # by the newest seal: of the entries that stood when it was made, and of all tensors
            "entries": [merkle_path(i, first["entries"]) for i in range(len(first["entries"]))],
            "tensors": {
                name: merkle_steps(i, tensor_leaves(chain.tensors)) for i, name in enumerate(sorted(chain.tensors))
            },
        },
    })

    units = chain.units["grinding"] + chain.units["evaluation"]
    write("receipt", {"receipts": [
        {"units": units[:n], "receipts": receipts(meta["hash"], units[:n])} for n in (0, 1, 2, 3, 5, 8)
    ]})


def receipts(network, units):
    """What the pool signs for units that it wrote together: their Merkle root, once for all."""
    signature = POOL.sign(digest("receipt", network, merkle_root(units))).hex() if units else None
    return [
        {
            "unit": unit.hex(), "signature": signature,
            "path": [{**step, "hash": step["hash"].hex()} for step in merkle_steps(i, units)],
        }
        for i, unit in enumerate(units)
    ]


make()
