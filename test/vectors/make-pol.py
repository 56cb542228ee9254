"""Writes pol.json: the gate with looks, delta and its decay, windows by stage, commitments, re-checks, epochs. See make-protocol.py."""

import random
from fractions import Fraction

from fixtures import NETWORK, filled, write
from reference import cbor, digest, draw_windows, key, sha256, words


def above(lead, variance, windows, height):
    """lead / (sd * sqrt(windows)) >= height, by squares with their signs."""
    signed = lambda x: x * x if x >= 0 else -x * x
    return signed(Fraction(lead)) >= signed(height) * variance * windows


def standing(base, candidate, delta, z_milli, looks, hopeless_milli, clear_milli):
    n, full = len(base), looks[-1]
    d = [b - c for b, c in zip(base, candidate)]
    mean = Fraction(sum(d), n)
    variance = sum((x - mean) ** 2 for x in d) / (n - 1)
    lead = sum(d) - n * delta
    z = Fraction(z_milli, 1000) * (Fraction(65, 64) if len(looks) > 1 else 1)
    line = z - Fraction(hopeless_milli, 1000) * Fraction(full - n, full)
    if n >= Fraction(full, 2) and above(lead, variance, full, z):
        return "clear"
    if n < full and clear_milli is not None and above(lead, variance, n, Fraction(clear_milli, 1000)):
        return "clear"
    return "hopeless" if n == full or not above(lead, variance, full, line) else "open"


def make_standings(rnd):
    cases = []
    for looks in [[16], [16, 32, 64], [4, 8, 16, 32], [5, 9, 17]]:
        for _ in range(40):
            n = rnd.choice(looks)
            delta, sd = rnd.choice([(2_000, 8_000), (30_000, 70_000), (0, 5), (7, 0)])
            gain = rnd.choice([-1, 0, 1, 1, 2, 4]) * max(delta, 1)
            base = [rnd.randrange(4_000_000, 6_000_000) for _ in range(n)]
            candidate = [b - gain - round(rnd.gauss(0, sd)) for b in base]
            z, h = rnd.choice([0, 2_000, 3_000]), rnd.choice([3_000, 4_000])
            clear = rnd.choice([None, None, 2_000, 4_500])
            rule = {"delta": delta, "z": z, "looks": looks, "hopeless": h, "clear": clear}
            cases.append({"base": base, "candidate": candidate, **rule,
                          "standing": standing(base, candidate, delta, z, looks, h, clear)})
    return cases


def make_deltas():
    cases = []
    for delta, blocks, keep, floor in [(32_000, 520, 8_000, 2_000), (5, 1, 9_999, 0), (100, 10, 10_000, 1), (10, 1, 0, 3), (3, 7, 5_000, 9)]:
        values = []
        for height in [0, blocks - 1, blocks, 2 * blocks, 10 * blocks + 1, 1000 * blocks]:
            value = delta
            for _ in range(height // blocks):
                value = max(min(floor, delta), value * keep // 10_000)
            values.append({"height": height, "delta": value})
        cases.append({"gate": {"delta_micro_nats": delta, "decay": {"blocks": blocks, "keep_bp": keep, "floor_micro_nats": floor}}, "values": values})
    return cases


def draw_order(seed, total, count):
    """Places of a shuffle, one by one: as draw_windows, before it is sorted."""
    stream, order = words(seed), list(range(total))
    for i in range(count):
        left = total - i
        word = next(stream)
        while word >= 2**32 - 2**32 % left:
            word = next(stream)
        j = i + word % left
        order[i], order[j] = order[j], order[i]
    assert sorted(order[:count]) == draw_windows(seed, total, count)
    return order[:count]


def make_stages():
    cases = []
    for total, looks in [(12, [8]), (265, [16, 32, 64, 128]), (1000, [3, 5, 999])]:
        submission, head, salt = filled(32, total % 200), filled(32, 1), filled(32, 2)
        order = draw_order(digest("seed", NETWORK, submission, head, salt), total, looks[-1])
        bounds = list(zip([0, *looks], looks))
        windows = [w for start, end in bounds for w in sorted(order[start:end])]
        cases.append({"network": NETWORK, "submission": submission, "head": head, "salt": salt, "total": total,
                      "looks": looks, "windows": windows})
    return cases


def make_commitments():
    worker, cases = key("worker"), []
    for windows, base, candidate in [([4, 9, 2], [5, 6, 7], [4, 4, 4]), ([0, 1], [1, 10**9], [None, 3])]:
        results = sha256(cbor([windows, base, candidate]))
        nonce = filled(32, len(windows))
        cases.append({"network": NETWORK, "windows": windows, "base": base, "candidate": candidate, "nonce": nonce,
                      "worker": worker.public, "commitment": digest("commitment", NETWORK, results, nonce, worker.public)})
    return cases


def make_rechecks():
    worker, cases = key("worker").public, []
    for i in range(60):
        submission, salt, consecutive = filled(32, i), filled(32, 100), [1, 2, 10, 11, 40][i % 5]
        word = int.from_bytes(digest("recheck", NETWORK, submission, worker, salt)[:8], "big")
        cases.append({"network": NETWORK, "submission": submission, "worker": worker, "salt": salt,
                      "consecutive": consecutive, "rechecked": Fraction(word, 2**64) < Fraction(1, consecutive)})
    return cases


def make_held_out():
    """What workers sign of held-out windows, and whether it holds: at least half of delta on the mean."""
    cases, submission, root, before, after = [], filled(32, 1), filled(32, 2), filled(32, 3), filled(32, 4)
    for delta, base, candidate in [
        (2_000, [5_000_000, 4_000_000, 6_000_000], [4_999_000, 3_999_000, 5_999_000]),
        (2_000, [5_000_000, 4_000_000, 6_000_000], [4_999_000, 3_999_000, 5_999_001]),
        (0, [7], [7]), (1, [7], [7]), (3, [7, 7], [4, 7]), (3, [7, 7], [5, 7]),
        (2, [None, 5], [9, 4]), (2, [None, 5], [None, 5]), (0, [None], [None]), (0, [9, 9], [1, None]),
    ]:
        windows = list(range(40, 40 + len(base)))
        results = sha256(cbor([windows, base, candidate]))
        gains = [b - c for b, c in zip(base, candidate) if b is not None and c is not None]
        lost = any(b is not None and c is None for b, c in zip(base, candidate))
        holds = not lost and (not gains or Fraction(sum(gains), len(gains)) >= Fraction(delta, 2))
        cases.append({"network": NETWORK, "submission": submission, "root": root, "baseRoot": before, "candidateRoot": after,
                      "windows": windows, "base": base, "candidate": candidate, "delta": delta, "holds": holds,
                      "digest": digest("held-out", NETWORK, submission, root, before, after, results)})
    return cases


def make_epochs():
    """Seals one after another under these held-out parts (root, windows, seals, shards) -> epoch and shards of each."""
    cases = []
    a, b = filled(32, 20), filled(32, 21)
    for shard_windows, rules in [
        (16, [(a, 280, 3, 2)] * 8),
        (16, [(a, 40, 2, 2)] * 6),  # the last epoch gets what is left, then there is none
        (16, [(a, 280, 3, 2)] * 4 + [(b, 100, 2, 1)] * 3 + [(a, 280, 3, 2)] * 2),  # another part, and back
        (8, [(a, 80, 4, 3)] * 2 + [None] * 2 + [(a, 80, 4, 3)] * 3),  # no epochs for a while
        (8, [(a, 80, 4, 3)] * 5 + [(a, 80, 2, 4)] * 5),  # the same part, other epochs
    ]:
        given, number, current, taken, places = {}, -1, None, 0, []
        for rule in rules:
            if current is None or rule != current["rule"] or taken == rule[2]:
                current = None
                if rule is not None:
                    root, windows, seals, wanted = rule
                    total = -(-windows // shard_windows)
                    first = given.get(root, 0)
                    shards = min(wanted, total - first)
                    if shards > 0:
                        number, taken = number + 1, 0
                        given[root] = first + shards
                        end = min(windows, (first + shards) * shard_windows)
                        current = {"rule": rule, "epoch": {"number": number, "root": root, "seals": seals, "firstShard": first, "shards": shards},
                                   "windows": [first * shard_windows, end]}
            if current:
                taken += 1
            places.append(current and {**current["epoch"], "windows": current["windows"]})
        cases.append({"shard_windows": shard_windows, "places": places,
                      "rules": [r and {"root": r[0], "windows": r[1], "epoch": {"seals": r[2], "shards": r[3]}} for r in rules]})
    return cases


if __name__ == "__main__":
    write("pol", {"standings": make_standings(random.Random(17)), "deltas": make_deltas(), "stages": make_stages(),
                  "commitments": make_commitments(), "rechecks": make_rechecks(),
                  "heldOut": make_held_out(), "epochs": make_epochs()})
