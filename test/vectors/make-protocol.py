"""Writes the golden vectors of shared/PROTOCOL.md that test/unit/shared reads.

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install cbor2 ecdsa pycryptodome
    /tmp/vectors/bin/python test/vectors/make-protocol.py
    /tmp/vectors/bin/python test/vectors/make-chain.py
    /tmp/vectors/bin/python test/vectors/make-rewards.py

The files it writes are frozen: a difference after a run is a change of the protocol.
In them, {"$hex": …} stands for bytes and {"$int": …} for an integer that JSON numbers cannot hold.
"""

import json
import random

from ecdsa import SECP256k1, ellipticcurve

from fixtures import NETWORK, SHAPES, certificate, filled, manifest, tensor_bytes, write
from reference import (
    N, P, ZERO, Key, cbor, checksum, digest, gate, header_bytes, journal, keccak256, key, merkle_path, merkle_root, model_root,
    NO_WORK, sha256, split, submission_id, work_log,
)


def make_header():
    def case(**changes):
        miner = key("miner")
        h = {
            "version": 1, "index": 7, "timestamp": 1_767_225_600_123, "prev_hash": filled(32, 1), "chain_id": "B",
            "points_to": filled(32, 33), "payload_hash": filled(32, 65), "payload_size": 4096,
            "miner_pub": miner.public, "payload_sig": miner.sign(digest("payload", NETWORK, filled(32, 65))),
            "body_hash": filled(32, 129), "bits": 0x1E3FFFFF, "nonce": 0x0123456789ABCDEF, **changes,
        }
        data = header_bytes(h)
        assert len(data) == 264
        return {"fields": h, "bytes": data, "hash": sha256(data)}

    top = 2**53 - 1
    write("header", {"headers": [
        case(),
        case(chain_id="A", index=0, timestamp=0, prev_hash=ZERO, points_to=ZERO, payload_size=0, nonce=0, bits=0x207FFFFF),
        case(index=top, timestamp=top, payload_size=top, nonce=2**64 - 1, bits=0xFFFFFFFF),
    ]})


def part_body(**changes):
    return {
        "v": 1, "submission": filled(32, 3), "part": 0, "parts": 2, "name": "transformer.wte.weight",
        "dtype": "F32", "shape": [1024, 128], "root": filled(32, 9), **changes,
    }


def make_body():
    seal = {
        "base": ZERO, "salt": ZERO, "next_salt_hash": filled(32, 40), "certificate": None,
        "journal": {"seq": 0, "head": ZERO, "root": ZERO}, "work": NO_WORK, "rewards": ZERO,
    }
    rule = {"validation": {"windows": 300}, "gate": {"windows": 30}}
    judged = (filled(32, 3), filled(32, 4), filled(32, 5), filled(32, 6), filled(32, 9))
    losses = [([5_000_000 + i for i in range(30)], [4_900_000 + 7 * i for i in range(30)])] * 2
    sealed = {
        **seal, "salt": judged[2], "journal": {"seq": 70_000, "head": filled(32, 50), "root": filled(32, 55)}, "rewards": filled(32, 60),
        "work": {"evaluation": {"seq": 300, "head": filled(32, 70)}, "grinding": {"seq": 2**40, "head": filled(32, 80)}},
        "certificate": certificate(*judged, losses, rule, [key("worker"), key("second worker")]),
    }
    bodies = [
        part_body(),
        part_body(part=1, dtype="BF16", shape=[1], name="ü.\u4e2d.\U0001f600", seal=seal),
        part_body(part=1, dtype="F16", shape=[], seal=sealed),
        part_body(part=255, parts=65_536, shape=[23, 24, 255, 256, 65_535, 65_536, 2**32, 2**53 - 1], seal=None),
    ]
    del bodies[3]["seal"]
    metas = [{"v": 1, "signatures": []}, {"v": 1, "signatures": [
        {"key": key("governor").public, "signature": key("governor").sign(digest("meta", ZERO, bytes(8), ZERO, filled(32)))},
    ]}]
    case = lambda b: {"value": b, "bytes": cbor(b), "hash": sha256(cbor(b))}
    write("body", {"parameter": [case(b) for b in bodies], "meta": [case(b) for b in metas]})


def make_manifest():
    reward, validation = manifest()["reward"], manifest()["validation"]
    schedule = {"gain_micro_nats": 40_000, "least_bp": 2_500, "most_bp": 20_000}
    capped = {**schedule, "halving_seals": 1_000, "supply_units": 2_100_000_000_000_000}
    cases = [
        manifest(), manifest(reward={**reward, "units": 2**64 - 1}, rules=[], unsafe_keys=False),
        manifest(reward={**reward, "schedule": schedule, "scheme": "solo", "min_payout_units": 0}),
        manifest(reward={**reward, "schedule": capped, "scheme": "prop", "min_payout_units": 2**64 - 1}),
        manifest(reward={**reward, "vesting_bp": 3_000}, validation={**validation, "held_out": {**validation["held_out"], "epoch": {"seals": 5, "shards": 1}}}),
    ]
    write("manifest", {"manifests": [{"value": m, "bytes": cbor(m), "hash": sha256(cbor(m))} for m in cases]})


def make_merkle():
    trees = []
    for n in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 31]:
        leaves = [filled(i % 5, i) for i in range(n)]
        paths = [merkle_path(i, leaves) for i in range(n)] if n <= 9 else []
        trees.append({"leaves": leaves, "root": merkle_root(leaves), "paths": paths})
    write("merkle", {"trees": trees})


def point_at(x, odd):
    """The point of the curve with this x and parity of y, or None."""
    square = (x**3 + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if x >= P or y * y % P != square:
        return None
    return ellipticcurve.PointJacobi(SECP256k1.curve, x, y if y % 2 == odd else P - y, 1, N)


def signature_edges():
    """Signatures at the ends of what r and s can be, made backwards from R: Q = (s·R - z·G) / r."""
    b32 = lambda x: x.to_bytes(32, "big")
    half = (N - 1) // 2
    edges = []

    def add(why, x, s, z, odd=0):
        point = point_at(x, odd)
        r = x % N
        q = (point * s + SECP256k1.generator * (-z % N)) * pow(r, -1, N)
        compact = b32(r) + b32(s)
        edges.append({
            "why": why, "signature": compact, "digest": b32(z), "key": bytes([2 + q.y() % 2]) + b32(q.x()),
            "valid": s <= half, "address": checksum(keccak256(b32(q.x()) + b32(q.y()))[12:]),
            # Ethereum has no v for a point whose x is n or more.
            "recoverable": compact + bytes([27 + odd]) if x < N else None,
        })

    on_curve = lambda xs: next(x for x in xs if point_at(x, 0))
    usual = int.from_bytes(sha256(b"a point"), "big")
    some = on_curve(range(usual, usual + 100))
    z = int.from_bytes(digest("payload", NETWORK, filled(32, 7)), "big")
    for name, s in [("1", 1), ("2", 2), ("(n-1)/2 - 1", half - 1), ("(n-1)/2", half), ("(n-1)/2 + 1", half + 1),
                    ("n - 2", N - 2), ("n - 1", N - 1)]:
        add(f"s of {name}", some, s, z)
        add(f"s of {name}, y odd", some, s, z, odd=1)
    for name, xs in [("the least there is", range(1, 100)), ("the next to n/2", range(N // 2, N)),
                     ("the largest below n", range(N - 1, 0, -1)),
                     ("the least of an x of n or more", range(N + 1, P)),
                     ("the largest of an x of n or more", range(P - 1, N, -1))]:
        add(f"r {name}", on_curve(xs), half, z)
        add(f"r {name}, high s", on_curve(xs), half + 1, z)
    for name, z in [("0", 0), ("1", 1), ("n - 1", N - 1), ("n", N), ("n + 1", N + 1), ("2^256 - 1", 2**256 - 1)]:
        add(f"a digest of {name}", some, 12345, z)
    return edges


def at_infinity():
    """u1·G + u2·Q is the point at infinity: there is no x to compare r with."""
    k, r, s = key("infinite"), 5, 7
    z = -r * int.from_bytes(k.secret, "big") % N
    return (r.to_bytes(32, "big") + s.to_bytes(32, "big"), z.to_bytes(32, "big"), k.public)


def make_signature():
    kinds = ["payload", "submission", "attestation", "meta", "journal", "rewards", "salt", "seed", "challenge", "owner"]
    digests = [
        {"kind": k, "network": net, "parts": parts, "digest": digest(k, net, *parts)}
        for k, (net, parts) in zip(kinds, [(NETWORK, [filled(32)]), (ZERO, []), (NETWORK, [b"a", b"bc"])] * 4)
    ]
    secrets = [(1).to_bytes(32, "big"), (2).to_bytes(32, "big"), (N - 1).to_bytes(32, "big"), sha256(b"a key")]
    signatures = [
        {"secret": s, "public": Key(s).public, "address": Key(s).address, "digest": d, "signature": Key(s).sign(d)}
        for s in secrets for d in [digest("payload", NETWORK, filled(32)), ZERO, b"\xff" * 32]
    ]
    k, d = key("refused"), digest("payload", NETWORK, filled(32, 7))
    good = k.sign(d)
    r, s = good[:32], int.from_bytes(good[32:], "big")
    b32 = lambda x: x.to_bytes(32, "big")
    der_int = lambda b: b"\x02" + bytes([len(b.lstrip(b"\0")) + (b.lstrip(b"\0")[0] >> 7)]) + (
        b"\0" if b.lstrip(b"\0")[0] >> 7 else b"") + b.lstrip(b"\0")
    der = der_int(r) + der_int(b32(s))
    off_curve = next(
        b"\x02" + b32(x) for x in range(1, 100)
        if pow(x**3 + 7, (2**256 - 2**32 - 977 - 1) // 2, 2**256 - 2**32 - 977) != 1
    )
    uncompressed = k.signing.verifying_key.to_string("uncompressed")
    refused = {
        "the high-S twin": (r + b32(N - s), d, k.public),
        "DER": (b"\x30" + bytes([len(der)]) + der, d, k.public),
        "63 bytes": (good[:63], d, k.public),
        "65 bytes, with a recovery id before": (b"\x1b" + good, d, k.public),
        "65 bytes, with a recovery id behind": (good + b"\0", d, k.public),
        "no bytes": (b"", d, k.public),
        "r of 0": (ZERO + b32(s), d, k.public),
        "s of 0": (r + ZERO, d, k.public),
        "r and s of 0": (ZERO + ZERO, d, k.public),
        "r of n": (b32(N) + b32(s), d, k.public),
        "s of n": (r + b32(N), d, k.public),
        "r above n": (b"\xff" * 32 + b32(s), d, k.public),
        "r and s swapped": (b32(s) + r, d, k.public),
        "another key": (good, d, key("another").public),
        "the key mirrored": (good, d, bytes([k.public[0] ^ 1]) + k.public[1:]),
        "a key off the curve": (good, d, off_curve),
        "a key of 33 zero bytes": (good, d, bytes(33)),
        "a key beyond the field": (good, d, b"\x02" + b"\xff" * 32),
        "a key of type 5": (good, d, b"\x05" + k.public[1:]),
        "an uncompressed key": (good, d, uncompressed),
        "a hybrid key": (good, d, bytes([6 + (uncompressed[64] & 1)]) + uncompressed[1:]),
        "a key without its last byte": (good, d, k.public[:32]),
        "the digest of another kind": (good, digest("submission", NETWORK, filled(32, 7)), k.public),
        "the digest of another network": (good, digest("payload", ZERO, filled(32, 7)), k.public),
        "the message itself": (good, filled(32, 7), k.public),
        "a digest of 31 bytes": (good, d[:31], k.public),
        "a digest of 33 bytes": (good, d + b"\0", k.public),
        "r of 0 and a key of 33 zero bytes": (ZERO + b32(s), d, bytes(33)),
        "r of n + 1": (b32(N + 1) + b32(s), d, k.public),
        "s of n + 1": (r + b32(N + 1), d, k.public),
        "s above n": (r + b"\xff" * 32, d, k.public),
        "r of the field's order": (b32(P) + b32(s), d, k.public),
        "a point at infinity": at_infinity(),
        "a key of one zero byte": (good, d, b"\0"),
        "no key": (good, d, b""),
        "the x of a key alone": (good, d, k.public[1:]),
        "a key with a byte behind": (good, d, k.public + b"\0"),
        "a key whose x is the field's order": (good, d, b"\x02" + b32(P)),
        "hex instead of bytes": (good.hex().encode(), d, k.public),
    }
    names = ("signature", "digest", "key")
    addresses = [checksum(bytes.fromhex(a)) for a in [
        "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "fb6916095ca1df60bb79ce92ce3ea74c37c5d359",
        "52908400098527886e0f7030069857d2e4169ee7", "de709f2102306220921060314715629080e2fb77",
        "00" * 20, "ff" * 20,
    ]]
    write("signature", {
        "edges": signature_edges(),
        "digests": digests, "signatures": signatures, "addresses": addresses,
        "accepted": dict(zip(names, (good, d, k.public))),
        "refused": [{"why": why, **dict(zip(names, case))} for why, case in refused.items()],
    })


def reward_moves(submission):
    a = key("submitter").address
    return [
        ["reward-submitter", submission, None, a, 3_000_000_001],
        ["transfer", sha256(b"a transfer"), a, key("pool").address, 1],
        ["burn", sha256(b"a burn"), a, None, 2**64 - 1],
    ]


def make_journal():
    moves = reward_moves(filled(32, 3))
    cases = []
    for head, chosen, at in [((0, ZERO), moves, 1_767_225_600_000), ((2**32, filled(32)), moves[1:], 2**53 - 1), ((5, ZERO), [], 0)]:
        entries, (seq, newest) = journal(NETWORK, head, chosen, at)
        cases.append({
            "network": NETWORK, "before": {"seq": head[0], "head": head[1]}, "at": at,
            "moves": [dict(zip(["kind", "ref", "from", "to", "amount"], m)) for m in chosen],
            "entries": entries, "after": {"seq": seq, "head": newest},
            "rewards": digest("rewards", NETWORK, cbor(chosen)),
        })
    write("journal", {"journals": cases})


def make_work():
    cases = []
    for kind, start, at, credits in [
        ("evaluation", (0, ZERO), 1_767_225_600_000, [1, 2**64 - 1, 2**33]), ("grinding", (0, ZERO), 0, [2**16]),
        ("grinding", (2**32, filled(32)), 2**53 - 1, [2**60, 1]), ("grinding", (5, ZERO), 7, []),
    ]:
        work = [
            {"worker": w.public, "address": key("owner").address, "credit": credit, "ref": filled(32, 20 + i)}
            for i, (w, credit) in enumerate(zip([key("worker"), key("second worker")] * 2, credits))
        ]
        units, (seq, newest) = work_log(NETWORK, kind, start, work, at)
        cases.append({
            "network": NETWORK, "kind": kind, "before": {"seq": start[0], "head": start[1]}, "at": at, "work": work,
            "units": units, "after": {"seq": seq, "head": newest},
        })
    write("work", {"logs": cases})


def make_gate():
    rnd = random.Random(11)
    cases = []

    def add(base, candidate, delta, z):
        cases.append({"base": base, "candidate": candidate, "delta": delta, "z": z, "verdict": gate(base, candidate, delta, z)})

    # d = 5, 7: mean 6, sd √2, sd/√n 1. With z = 1 the boundary lies at δ = 5 exactly; with 1.001 just above.
    for delta, z in [(5, 1000), (5, 1001), (6, 0), (7, 0), (4, 2000), (4, 2001), (3, 3000), (2, 3000)]:
        add([100, 100], [95, 93], delta, z)
    top = 1_000_000_000
    add([top] * 64, [0] * 64, top, 10_000)
    add([top] * 64, [0] * 64, top + 1, 0)
    add([top, 0] * 500, [0, top] * 500, 0, 1000)
    add([0] * 2, [0] * 2, 0, 3000)
    add([0] * 2, [0] * 2, 1, 3000)
    add([3, 3, 3], [4, 4, 4], 0, 0)
    add([3, 3, 3], [4, 4, 5], 0, 0)
    for _ in range(60):
        n = rnd.choice([2, 3, 8, 64, 257])
        level, spread, gain = rnd.choice([(6_900_000, 900_000, 9_000), (2_000, 50, 40), (10, 4, 2)])
        base = [max(0, int(rnd.gauss(level, spread))) for _ in range(n)]
        candidate = [max(0, b - int(rnd.gauss(gain, gain * rnd.choice([0, 1, 2, 3])))) for b in base]
        add(base, candidate, rnd.choice([0, gain // 4, gain // 2]), rnd.choice([0, 1000, 1960, 3000]))
    write("gate", {"cases": cases})


def make_money():
    units = 5_000_000_000
    lists = [
        (units, [1, 1, 1]), (units, [6000, 2000, 1500, 500]), (1, [1, 1, 1]), (2, [1] * 7), (0, [1, 2]),
        (999, [1] * 1000), (999, [10**18] + [1] * 999), (units, [0, 0, 1, 0]), (7, [2**80, 2**80 + 1, 1]),
        (2**64 - 1, [2**53 + 1, 2**31, 3]), (10**30, [3, 7, 11, 13]),
    ]
    splits = [{"amount": str(a), "weights": list(map(str, w)), "parts": list(map(str, split(a, w)))} for a, w in lists]
    shown = [0, 1, 10, 100_000_000, 123_456_789, 5_000_000_000, -1, -150_000_000, 10**26 + 1]
    texts = []
    for amount in shown:
        whole, rest = divmod(abs(amount), 10**8)
        text = f"{whole}.{rest:08d}".rstrip("0").rstrip(".")
        texts.append({"units": str(amount), "text": ("-" if amount < 0 else "") + text})
    write("money", {"splits": splits, "formats": texts})


def make_submission():
    cases = []
    for label, names, salt in [("one tensor", ["transformer.wte.weight"], None),
                               ("several", sorted(SHAPES)[:4], filled(32, 90))]:
        miner = key("miner " + label)
        tensors = {n: ("F32", SHAPES[n], sha256(tensor_bytes(n, 1))) for n in names}
        base, meta = filled(32, 70), filled(32, 80)
        sid = submission_id(NETWORK, miner.public, base, meta, tensors)
        text = json.dumps({
            "v": 1, "miner": miner.public.hex(), "base": base.hex(), "meta": meta.hex(),
            **({} if salt is None else {"salt": salt.hex()}),
            "tensors": [
                {"name": n, "dtype": d, "shape": s, "hash": h.hex(),
                 "signature": miner.sign(digest("payload", NETWORK, h)).hex()}
                for n, (d, s, h) in tensors.items()
            ],
            "signature": miner.sign(sid).hex(),
        }, separators=(",", ":"))
        cases.append({"secret": miner.secret, "network": NETWORK, "base": base, "meta": meta, "text": text, "id": sid,
                      "tensors": [{"name": n, "dtype": d, "shape": s, "payloadHash": h} for n, (d, s, h) in tensors.items()],
                      **({} if salt is None else {"salt": salt, "claim": digest("claim", NETWORK, sid, salt)})})
    write("submission", {"submissions": cases})


def make_model_root():
    names = ["a", "b", "ab", "a.b", "B", "é", "\ue000", "\U0001f600", "transformer.h.10.w", "transformer.h.2.w"]
    cases = []
    for n in [0, 1, 2, 3, 7, 10]:
        tensors = {name: (["F32", "F16", "BF16"][i % 3], [i + 1, 2**i], filled(32, i)) for i, name in enumerate(names[:n])}
        cases.append({
            "tensors": [{"name": k, "dtype": d, "shape": s, "payloadHash": h} for k, (d, s, h) in tensors.items()],
            "root": model_root(tensors),
        })
    write("model-root", {"models": cases})


if __name__ == "__main__":
    for make in [make_header, make_body, make_manifest, make_merkle, make_signature, make_journal, make_work, make_gate,
                 make_money, make_submission, make_model_root]:
        make()
