"""The formats of shared/PROTOCOL.md once more, in Python and from other libraries, for golden vectors.

Nothing here is translated from the TypeScript: Merkle trees are built top-down as RFC 6962 defines them, the gate is
computed in fractions, CBOR, curve and keccak come from cbor2, ecdsa and pycryptodome.
"""

import hashlib
from fractions import Fraction
from math import isqrt

import cbor2
from Crypto.Hash import keccak
from ecdsa import SECP256k1, SigningKey
from ecdsa.util import number_to_string

N = SECP256k1.order
P = SECP256k1.curve.p()
ZERO = bytes(32)


def sha256(data):
    return hashlib.sha256(data).digest()


def cbor(value):
    return cbor2.dumps(value, canonical=True)


# §2 digests, keys, signatures


def digest(kind, network, *parts):
    return sha256(b"aiblock/" + kind.encode() + b"/v1\0" + network + b"".join(parts))


class Key:
    def __init__(self, secret):
        self.secret = secret
        self.signing = SigningKey.from_string(secret, SECP256k1)
        self.public = self.signing.verifying_key.to_string("compressed")
        self.address = checksum(keccak256(self.signing.verifying_key.to_string("raw"))[12:])

    def sign(self, digest32):
        """RFC 6979 with SHA-256, then the lower of s and n - s."""
        r, s = self.signing.sign_digest_deterministic(
            digest32, hashlib.sha256, sigencode=lambda r, s, _order: (r, s)
        )
        return number_to_string(r, N) + number_to_string(min(s, N - s), N)


def keccak256(data):
    return keccak.new(digest_bits=256, data=data).digest()


def checksum(address20):
    """EIP-55."""
    digits = address20.hex()
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if int(m, 16) > 7 else d for d, m in zip(digits, mask))


def key(label):
    return Key(sha256(b"aiblock vectors: " + label.encode()))


# §3 Merkle trees: MTH and PATH of RFC 6962, §2.1


def split_point(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def merkle_root(leaves):
    if not leaves:
        return ZERO
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    k = split_point(len(leaves))
    return sha256(b"\1" + merkle_root(leaves[:k]) + merkle_root(leaves[k:]))


def merkle_path(index, leaves):
    if len(leaves) == 1:
        return []
    k = split_point(len(leaves))
    if index < k:
        return merkle_path(index, leaves[:k]) + [merkle_root(leaves[k:])]
    return merkle_path(index - k, leaves[k:]) + [merkle_root(leaves[:k])]


def merkle_steps(index, leaves):
    """The path with the side on which each sibling stands."""
    if len(leaves) == 1:
        return []
    k = split_point(len(leaves))
    if index < k:
        return merkle_steps(index, leaves[:k]) + [{"side": "right", "hash": merkle_root(leaves[k:])}]
    return merkle_steps(index - k, leaves[k:]) + [{"side": "left", "hash": merkle_root(leaves[:k])}]


# §5 header


def header_bytes(h):
    return b"".join(
        [
            h["version"].to_bytes(2, "big"),
            h["index"].to_bytes(8, "big"),
            h["timestamp"].to_bytes(8, "big"),
            h["prev_hash"],
            h["chain_id"].encode(),
            h["points_to"],
            h["payload_hash"],
            h["payload_size"].to_bytes(8, "big"),
            h["miner_pub"],
            h["payload_sig"],
            h["body_hash"],
            h["bits"].to_bytes(4, "big"),
            h["nonce"].to_bytes(8, "big"),
        ]
    )


def target_of(bits):
    size, mantissa = bits >> 24, bits & 0x7FFFFF
    return mantissa << (8 * (size - 3))


def grind(h):
    """The lowest nonce that meets the target of `bits`: header bytes and hash."""
    stem = header_bytes({**h, "nonce": 0})[:256]
    for nonce in range(1 << 40):
        data = stem + nonce.to_bytes(8, "big")
        if int.from_bytes(sha256(data), "big") <= target_of(h["bits"]):
            return data, sha256(data)


# §6 model root


def tensor_leaves(tensors):
    """tensors: {name: (dtype, shape, payload hash)}"""
    ordered = sorted(tensors.items(), key=lambda item: item[0].encode())
    return [cbor([name, dtype, shape, hash32]) for name, (dtype, shape, hash32) in ordered]


def model_root(tensors):
    return merkle_root(tensor_leaves(tensors))


# §8 windows and gate


def words(seed):
    counter = 0
    while True:
        block = sha256(seed + counter.to_bytes(4, "big"))
        for i in range(0, 32, 4):
            yield int.from_bytes(block[i : i + 4], "big")
        counter += 1


def draw_windows(seed, total, count):
    stream = words(seed)
    order = list(range(total))
    for i in range(count):
        left = total - i
        word = next(stream)
        while word >= 2**32 - 2**32 % left:
            word = next(stream)
        j = i + word % left
        order[i], order[j] = order[j], order[i]
    return sorted(order[:count])


def gate(base, candidate, delta, z_milli):
    """The textbook form, in exact fractions."""
    n = len(base)
    d = [Fraction(b - c) for b, c in zip(base, candidate)]
    mean = sum(d) / n
    variance = sum((x - mean) ** 2 for x in d) / (n - 1)
    margin2 = Fraction(z_milli, 1000) ** 2 * variance / n
    margin = isqrt(margin2.numerator // margin2.denominator)
    while margin * margin < margin2:
        margin += 1
    return {
        "passed": mean >= delta and (mean - delta) ** 2 >= margin2,
        "windows": n,
        "meanGainMicroNats": int(mean),
        "meanBaseMicroNats": sum(base) // n,
        "meanCandidateMicroNats": sum(candidate) // n,
        "marginMicroNats": margin,
    }


# §9 submissions


def submission_id(network, miner, base, meta, tensors):
    ordered = sorted(tensors.items(), key=lambda item: item[0].encode())
    content = {
        "v": 1,
        "miner": miner,
        "base": base,
        "meta": meta,
        "tensors": [[name, dtype, shape, hash32] for name, (dtype, shape, hash32) in ordered],
    }
    return digest("submission", network, cbor(content))


# §10 money


def journal_place(seq, head, entries):
    """What a seal says of a journal of these encoded entries."""
    return {"seq": seq, "head": head, "root": merkle_root(entries)}


def split(amount, weights):
    total, upto, out = sum(weights), 0, []
    for w in weights:
        before = upto * amount // total
        upto += w
        out.append(upto * amount // total - before)
    return out


def journal(network, head, moves, at):
    """moves: [kind, ref, from, to, amount] -> encoded entries and the new head (seq, digest)."""
    seq, prev = head
    entries = []
    for kind, ref, source, to, amount in moves:
        entry = {"v": 1, "seq": seq, "prev": prev, "at": at, "kind": kind, "ref": ref}
        entries.append(cbor({**entry, "from": source, "to": to, "amount": amount}))
        prev = digest("journal", network, entries[-1])
        seq += 1
    return entries, (seq, prev)


NO_WORK = {"evaluation": {"seq": 0, "head": ZERO}, "grinding": {"seq": 0, "head": ZERO}}


def work_log(network, kind, place, work, at):
    """work: {worker, address, credit, ref} -> encoded units and the new place (seq, digest)."""
    seq, prev = place
    units = []
    for done in work:
        units.append(cbor({"v": 1, "kind": kind, "seq": seq, "prev": prev, "at": at, **done}))
        prev = digest("work", network, units[-1])
        seq += 1
    return units, (seq, prev)


def by_address(amount, units):
    """Splits over encoded units by cumulative floor: [(address, part)] in the byte order of the addresses."""
    credits = {}
    for unit in map(cbor2.loads, units):
        credits[unit["address"]] = credits.get(unit["address"], 0) + unit["credit"]
    addresses = sorted(credits)
    return list(zip(addresses, split(amount, [credits[a] for a in addresses])))
