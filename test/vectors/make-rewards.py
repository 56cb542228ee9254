"""Writes rewards.json: how large rewards are, who shares them, and the moves they make. Run as make-protocol.py says."""

from fractions import Fraction
from math import floor

from fixtures import NETWORK, filled, write
from reference import checksum, digest, key, sha256, split

TOKEN = 10**8


# How large a reward is


def terms(reward, facts):
    plan = reward.get("schedule")
    halvings = facts["sealed"] // plan["halving_seals"] if plan and "halving_seals" in plan else 0
    halved = floor(Fraction(reward["units"], 2**halvings))
    gain = Fraction(1)
    if plan:
        mean = Fraction(facts["sum"], facts["windows"])
        gain = Fraction(floor(mean / plan["gain_micro_nats"] * 10_000), 10_000)
        gain = min(max(gain, Fraction(plan["least_bp"], 10_000)), Fraction(plan["most_bp"], 10_000))
    fresh, missing = floor(halved * gain), None
    if plan and "supply_units" in plan:
        missing = max(0, plan["supply_units"] - facts["issued"])
        fresh = min(fresh, missing)
    return {
        "halvings": halvings, "halvedUnits": halved, "gainBp": int(gain * 10_000), "missingUnits": missing,
        "forfeitedUnits": facts["forfeited"], "units": fresh + facts["forfeited"],
    }


def schedules():
    plan = {"gain_micro_nats": 40_000, "least_bp": 2_500, "most_bp": 20_000}
    capped = {**plan, "halving_seals": 210, "supply_units": 21_000 * TOKEN}
    reward = {"units": 50 * TOKEN, "schedule": plan}
    full = {"units": 50 * TOKEN, "schedule": capped}
    fact = lambda **changes: {"sealed": 0, "sum": 40_000 * 128, "windows": 128, "issued": 0, "forfeited": 0, **changes}
    cases = [
        ({"units": 50 * TOKEN}, fact(sum=1)), ({"units": 50 * TOKEN}, fact(sealed=10**6, forfeited=7)),
        (reward, fact()), (reward, fact(sum=40_000 * 128 - 1)), (reward, fact(sum=0)), (reward, fact(sum=-5)),
        (reward, fact(sum=10_000 * 64, windows=64)), (reward, fact(sum=9_999 * 64, windows=64)),
        (reward, fact(sum=80_000 * 128)), (reward, fact(sum=10**9 * 128)), (reward, fact(sum=55_555 * 16 + 3, windows=16)),
        ({"units": 1, "schedule": plan}, fact(sum=40_000 * 64)), ({"units": 2**64 - 1, "schedule": {**plan, "most_bp": 10_000}}, fact()),
        (full, fact(sealed=209)), (full, fact(sealed=210)), (full, fact(sealed=2 * 210 + 209)), (full, fact(sealed=33 * 210)),
        (full, fact(issued=21_000 * TOKEN - 1)), (full, fact(issued=21_000 * TOKEN)),
        (full, fact(issued=21_000 * TOKEN, forfeited=12_345)), (full, fact(issued=30_000 * TOKEN)),
    ]
    return [{"reward": r, "facts": f, "terms": terms(r, f)} for r, f in cases]


# Who shares it


def person(i):
    return key(f"worker {i}").public, key(f"owner {i}").address


def units_of(*listed):
    return [
        {"worker": person(w)[0], "address": person(o)[1], "credit": credit, "ref": sha256(bytes([i % 256, i // 256]))}
        for i, (w, o, credit) in enumerate(listed)
    ]


def shared(scheme, window, kind, units, sealed, upto):
    known = units[:upto]
    since = known[sealed:]
    if scheme == "solo":
        known = ([] if not known else [known[-1]]) if kind == "evaluation" else sorted(since, key=lambda u: u["ref"])[:1]
    elif scheme == "prop":
        known = since
    else:
        known = known[max(0, upto - window):]
    found = {}
    for unit in known:
        count, credit = found.get((unit["worker"].hex(), unit["address"]), (0, 0))
        found[unit["worker"].hex(), unit["address"]] = (count + 1, credit + unit["credit"])
    return [[w, a, count, credit] for (w, a), (count, credit) in sorted(found.items())]


def windows():
    dust = [(1, 1, 10**15)] + [(2 + i % 40, 2 + i % 40, 1) for i in range(1000)]
    moved = [(1, 1, 5), (2, 2, 5), (1, 3, 5), (1, 3, 5)]
    mixed = [(i % 4, i % 3, 1 + i * i) for i in range(60)]
    lists = [
        ("equal thirds", 1000, [(1, 1, 7), (2, 2, 7), (3, 3, 7)], [(0, 3)]),
        ("one giant and a thousand of dust", 10_000, dust, [(0, 1001)]),
        ("nobody worked", 1000, [], [(0, 0)]),
        ("a window larger than the history", 1000, [(1, 1, 3), (2, 2, 4)], [(0, 2), (2, 2)]),
        ("credits above 2^31", 2, [(1, 1, 2**31), (2, 2, 2**31 + 1), (3, 3, 2**32 - 1)], [(0, 3)]),
        ("credits above 2^53", 3, [(1, 1, 2**53 + 1), (2, 2, 2**64 - 1), (3, 3, 2**63)], [(0, 3)]),
        ("shares that came late count for the next", 2, [(1, 1, 1), (2, 2, 2), (3, 3, 4), (4, 4, 8)], [(0, 2), (2, 4)]),
        ("a worker that changed its owner's address", 3, moved, [(0, 2), (2, 4)]),
        ("many rewards", 10, mixed, [(0, 5), (5, 5), (5, 17), (17, 18), (18, 44), (44, 60)]),
    ]
    cases = []
    for name, window, listed, plans in lists:
        units = units_of(*listed)
        runs = [
            {
                "scheme": scheme, "kind": kind,
                "plans": [
                    {"sealed": sealed, "next": upto, "holdings": shared(scheme, window, kind, units, sealed, upto)}
                    for sealed, upto in plans
                ],
            }
            for scheme in ("pplns", "prop", "solo") for kind in ("evaluation", "grinding")
        ]
        cases.append({"name": name, "window_units": window, "units": [" ".join(map(str, unit)) for unit in listed], "runs": runs})
    return cases


# The moves


def account(text):
    return checksum(digest("account", NETWORK, text.encode())[12:])


def parts(amount, credits, pool):
    sums = {}
    for address, credit in credits:
        sums[address] = sums.get(address, 0) + credit
    if not any(sums.values()):
        sums = {pool: 1}
    ordered = sorted(sums)
    return [(a, p) for a, p in zip(ordered, split(amount, [sums[a] for a in ordered])) if p > 0]


def plan(name, units=50 * TOKEN, evaluations=(), grindings=(), accrued=None, vesting_bp=0, minimum=None, bp=(6000, 2000, 1500, 500)):
    pool, submitter, submission = key("pool"), key("miner").address, filled(32, 3)
    accrued = accrued or {}
    amounts = split(units, bp)
    work = [("reward-evaluator", parts(amounts[1], evaluations, pool.address)), ("reward-grinder", parts(amounts[2], grindings, pool.address))]
    totals = {}
    for _, listed in work:
        for owner, amount in listed:
            totals[owner] = totals.get(owner, accrued.get(owner, 0)) + amount
    due = set(totals) if minimum is None else {owner for owner, total in totals.items() if total >= minimum}
    moves = [["reward-submitter", submission, None, submitter, amounts[0]]]
    for kind, listed in work:
        for owner, amount in listed:
            moves.append([kind, submission, None, owner if owner in due else account("accrued " + owner), amount])
    moves.append(["reward-pool", submission, None, pool.address, amounts[3]])
    moves.append(["vest", submission, submitter, account("vesting"), amounts[0] * vesting_bp // 10_000])
    if minimum is not None:
        moves += [
            ["payout", submission, account("accrued " + owner), owner, accrued.get(owner, 0)] for owner in sorted(due)
        ]
    return {
        "name": name, "network": NETWORK, "submission": submission, "submitter": submitter, "pool_key": pool.public,
        "units": units, "evaluations": [list(c) for c in evaluations], "grindings": [list(c) for c in grindings],
        "accrued": [[owner, account("accrued " + owner), amount] for owner, amount in accrued.items()],
        "reward": {
            "split_bp": dict(zip(("submitter", "evaluators", "grinders", "pool"), bp)), "vesting_bp": vesting_bp,
            **({} if minimum is None else {"min_payout_units": minimum}),
        },
        "moves": [m for m in moves if m[4] > 0],
    }


def plans():
    a, b, c, d = (key(f"owner {i}").address for i in range(4))
    thirds = [(a, 7), (b, 7), (c, 7)]
    giant = [(a, 10**15)] + [(key(f"owner {2 + i}").address, 1) for i in range(40)]
    return [
        plan("nobody worked"), plan("equal thirds", evaluations=thirds, grindings=thirds),
        plan("one giant and dust", units=10**6, evaluations=giant, grindings=giant),
        plan("one unit", units=1, evaluations=thirds), plan("nothing", units=0, evaluations=thirds),
        plan("credits above 2^53", evaluations=[(a, 2**53 + 1), (b, 2**64)], grindings=[(b, 2**31), (c, 2**31 + 1)]),
        plan("a part vests", vesting_bp=3_333, evaluations=thirds),
        plan("all of it vests", vesting_bp=10_000, units=7),
        plan("nobody else is paid", bp=(10_000, 0, 0, 0), evaluations=thirds),
        plan("below the minimum", minimum=10**9, evaluations=thirds, grindings=[(d, 1)], accrued=dict.fromkeys((a, b, c, d), 0)),
        plan("some reach it by what accrued", minimum=10 * TOKEN, evaluations=[(a, 1), (b, 2), (c, 1)], grindings=[(b, 1), (d, 3)],
             accrued={a: 9 * TOKEN, b: 0, c: 750_000_000, d: 0}),
        plan("a minimum of nothing pays all", minimum=0, evaluations=thirds, accrued={a: 5, b: 0, c: 1, key("pool").address: 0}),
        plan("the pool's own slice gathers too", minimum=10**12, accrued={key("pool").address: 3}),
    ]


write("rewards", {
    "people": [list(person(i)) for i in range(42)], "schedules": schedules(), "windows": windows(), "plans": plans(),
})
