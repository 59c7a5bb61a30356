"""study/tuning.json: what the searches of `xkd.study_tune` found, of any rows at any shares of the labels, one after the other.

{"search": {name in study.lr: {rate: {share of the labels: mIoU}}}, "lr": {name: {share: best rate}}, "steps": {share: of a training},
"seeds": {share: label subsets}}; shares and rates are written as by `%g`."""

from xkd import kept
from xkd.errors import XkdError
from xkd.kept import of_kind

EMPTY = {"search": {}, "lr": {}, "steps": {}, "seeds": {}}


def read(file):
    """What the file holds, `EMPTY` where there is none. Errors: it is no such file, by the first thing in it that is not as above."""
    if not file.exists():
        return EMPTY
    found = kept.facts(file, search=dict, lr=dict, steps=dict, seeds=dict)
    for name, rows in found["search"].items():
        if not isinstance(rows, dict) or not all(is_rate(rate) and isinstance(row, dict) for rate, row in rows.items()):
            raise XkdError(f"{file}: search.{name} has to hold scores by rate and share and is {str(rows)[:60]}.")
        for share, score in ((share, score) for row in rows.values() for share, score in row.items()):
            if not of_kind(score, float):
                raise XkdError(f"{file}: search.{name} has {score!r} at {share} of the labels; it has to be a number.")
            if share not in found["steps"] or share not in found["seeds"]:
                raise XkdError(
                    f"{file}: search.{name} has scores at {share} of the labels, but steps or seeds have not."
                )
    return found


def is_rate(text):
    try:
        return float(text) > 0
    except ValueError:
        return False


def tried(table, share, without=()):
    """{name: rates that it was tried with at a share of the labels} of those in a table that were, but for the names `without`."""
    rates = {name: {float(r) for r, row in rows.items() if share in row} for name, rows in table.items()}
    return {name: own for name, own in rates.items() if own and name not in without}


def merged(old, table, steps, seeds):
    """What a file holds with the table of a new search in it, which had so many steps and these seeds at its shares: in its rows, all
    scores at these shares are its own."""
    search = {}
    for name in {**old["search"], **table}:
        rows = {}
        for rate, row in old["search"].get(name, {}).items():
            rows[rate] = {share: score for share, score in row.items() if name not in table or share not in steps}
        for rate, row in table.get(name, {}).items():
            rows[rate] = rows.get(rate, {}) | row
        search[name] = {rate: rows[rate] for rate in sorted(rows, key=float) if rows[rate]}
    there = sorted({share for rows in search.values() for row in rows.values() for share in row}, key=float)
    steps, seeds = (
        {share: (a | b)[share] for share in there} for a, b in ((old["steps"], steps), (old["seeds"], seeds))
    )
    best = {name: {share: rate for share in there if (rate := winner(rows, share))} for name, rows in search.items()}
    return {"search": search, "lr": best, "steps": steps, "seeds": seeds}


def winner(rows, share):
    """The rate with the best score at a share, the lowest of equal ones; None where none was tried."""
    scores = {float(rate): row[share] for rate, row in rows.items() if share in row}
    return max(sorted(scores), key=scores.get) if scores else None


def uneven(table, share):
    """What is to be said where rows were tried with different rates at a share: whose lack some, and which; else None. A row does not lack
    a rate beyond its lowest or highest, tried since another's best was at that edge, if its own is not."""
    own = tried(table, share)
    every, lacking = set().union(*own.values()), {}
    for name, rates in own.items():
        least, best, most = min(rates), winner(table[name], share), max(rates)
        within = {rate for rate in every if (rate > least or best == least) and (rate < most or best == most)}
        if within - rates:
            lacking[name] = sorted(within - rates)
    if not lacking:
        return None
    said = "; ".join(f"{name}: {', '.join(f'{rate:g}' for rate in rates)}" for name, rates in lacking.items())
    return f"xkd: at {share} of the labels some rows were not tried with the rates that others were, {said}; search for them too."
