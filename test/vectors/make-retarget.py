"""Writes pow-retarget.json: nextBits of shared/pow/retarget.ts, by Python's integers alone.

    python3 test/vectors/make-retarget.py
"""

import json
import pathlib
import random

TOP = 2**256 - 1
EASIEST = 0x207FFFFF


def expand(bits):
    size, digits = divmod(bits, 1 << 24)
    return int.from_bytes(digits.to_bytes(3, "big") + bytes(max(0, size - 3)), "big") >> (8 * max(0, 3 - size))


def compact(target):
    # As a signed big-endian number: a leading byte of 0 where the top bit is set.
    data = target.to_bytes((target.bit_length() + 8) // 8, "big")
    return (len(data) << 24) | int.from_bytes(data[:3].ljust(3, b"\0"), "big")


def next_bits(aim, window, clamp, easiest, index, bits, spent):
    if (index + 1) % window:
        return bits
    old = expand(bits)
    target = old * max(spent, 0) // (aim * window)
    target = max(old // clamp, min(old * clamp, target))
    return compact(max(1, min(expand(easiest), target)))


def follow(bits, rule, blocks):
    """bits of each block: (submission, part, timestamp), in the order of the chain."""
    wanted, current, times, before = [], bits, [], None
    for _submission, part, timestamp in blocks:
        wanted.append(current)
        if part:
            times.append(timestamp - before)
        before = timestamp
        if len(times) == rule["window_blocks"]:
            current = next_bits(rule["aim_ms"], len(times), rule["clamp"], rule["easiest_bits"], len(times) - 1, current, sum(times))
            times = []
    return wanted


def sequence(about, rnd, *, bits, rule, submissions, gap, block):
    at, blocks = 1_767_225_600_000, []
    for submission in range(submissions):
        at += gap
        for part in range(rnd.randrange(1, 6)):
            blocks.append((submission, part, at))
            at += int(rnd.expovariate(1 / block)) if block else 0
    return {
        "about": about, "pow": {"bits": bits, "retarget": rule}, "bits": follow(bits, rule, blocks),
        "blocks": [{"submission": s, "part": p, "at": t} for s, p, t in blocks],
    }


def sequences():
    rnd = random.Random(9)
    rule = lambda **changes: {"aim_ms": 1_000, "window_blocks": 4, "clamp": 4, "easiest_bits": EASIEST, **changes}
    return [
        sequence("blocks that are too fast", rnd, bits=0x1E00FFFF, rule=rule(), submissions=20, gap=10**6, block=100),
        sequence("blocks that are too slow", rnd, bits=0x1C00FFFF, rule=rule(), submissions=20, gap=0, block=9_000),
        sequence("all in one millisecond", rnd, bits=0x1D00FFFF, rule=rule(clamp=2), submissions=12, gap=5, block=0),
        sequence("a window of one", rnd, bits=0x1D00FFFF, rule=rule(window_blocks=1), submissions=9, gap=7, block=1_000),
        sequence("down to the easiest", rnd, bits=0x2000FFFF, rule=rule(), submissions=30, gap=3, block=10**9),
    ]


def case(about, *, aim=10_000, window=10, clamp=4, easiest=EASIEST, index=99, bits=0x1D00FFFF, spent=100_000):
    assert compact(expand(bits)) == bits
    rule = {"aimMs": aim, "windowBlocks": window, "clamp": clamp, "easiestBits": easiest}
    seen = {"index": index, "bits": bits, "spentMs": spent}
    return {"about": about, "rule": rule, "window": seen, "bits": next_bits(aim, window, clamp, easiest, index, bits, spent)}


def main():
    draw = random.Random(20260101)
    cases = [
        case("as long as wished"),
        case("half as long", spent=50_000),
        case("twice as long", spent=200_000),
        case("clamped at four times easier", spent=10**9),
        case("clamped at four times harder", spent=1),
        case("clocks were set back", spent=-5_000),
        case("no time at all", spent=0),
        case("not at the end of a window", index=98, spent=1),
        case("a height above 2^32", index=2**32 * 10 - 1, spent=50_000),
        case("a height above 2^31, within a window", index=2**31, spent=50_000),
        case("a height near 2^53", index=2**53 - 2, window=3, aim=7, spent=5),
        case("times above 2^31", aim=2**33, spent=2**34 * 10),
        case("times above 2^32, product above 2^53", aim=2**40, window=1_000_000, index=999_999, spent=2**52),
        case("never easier than the easiest", bits=EASIEST, spent=10**9),
        case("an easiest target of its own", easiest=0x1D00FFFF, spent=10**9),
        case("the hardest target stays 1", bits=0x01010000, spent=1),
        case("a target whose top bit would be a sign", bits=0x1D008000, spent=99_999),
        case("every block", window=1, index=0, spent=9_999),
    ]
    for i in range(60):
        window = draw.choice([1, 2, 7, 100, 2016])
        aim = draw.randrange(1, 10 ** draw.randrange(1, 12))
        cases.append(case(
            f"random {i}", aim=aim, window=window, clamp=draw.randrange(2, 9),
            index=window * draw.randrange(1, 2**40) - 1, bits=compact(draw.randrange(1, 2 ** draw.randrange(2, 255))),
            spent=int(aim * window * 4 ** draw.uniform(-1.5, 1.5)),
        ))
    path = pathlib.Path(__file__).with_name("pow-retarget.json")
    about = "nextBits, and the bits of blocks in order, by Python integers (make-retarget.py)"
    path.write_text(json.dumps({"about": about, "cases": cases, "sequences": sequences()}, indent=2) + "\n")


main()
