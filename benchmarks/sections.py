"""The sections of docs/benchmarks.md as Markdown, from the results of one machine: {part: its JSON}. `table.py` writes the page."""

import occlusion
import plan
from markdown import number, spread, table
from step import MADE, PARTS

KINDS = ("bounds", "hot_paths", "superpixels", "occlusion", "index", "growth", "memory", "step", "objectives")


def rows_of(results, part):
    return results.get(part, {}).get("rows", [])


def page(results, found, drawn):
    """The text of docs/benchmarks.md."""
    parts = [heading(results)]
    if results:
        parts += [goals(found, drawn), bounds(results), hot_paths(results), cuts(results)]
        parts += [
            occlusion.section(results),
            index(results),
            step(results, drawn),
            objectives(results),
            growth(results, drawn),
        ]
        parts += [memory(results), plan.paper(results)]
    parts.append(ALIKE)
    return "\n".join(part.strip() + "\n" for part in parts if part)


def heading(results):
    text = """# Benchmarks

Written by `python benchmarks/table.py` from what `make bench` keeps in benchmarks/results; `make bench` does both, on a machine that does
nothing else, in half an hour on two cores, or less (its parts `step` and `objectives` after `dvc repro prepare teacher views`, or they
are left out). Every row is measured in one run on one input, in turn with its peer, after a warm-up: medians, quartiles in brackets. Rows
of several processes or threads are not: there each way runs again and again, alone, and finds its input in the caches. Absolute times are
this machine's; ratios travel better. What a GPU does is in [gpu.md](gpu.md).
"""
    if not results:
        return text + "\n**No results are kept yet: run `make bench`.**\n"
    about = next(iter(results.values()))["machine"]
    wide = ", ".join(about["vectors"]) or "no wide vectors"
    text += f"\n**The machine**: {about['processor']}, {about['cores']} cores, {wide}, Python {about['python']}.\n"
    missing = [kind for kind in KINDS if kind not in results]
    if missing:
        text += f"\n**Not measured on it**: {', '.join(missing)}.\n"
    for kind, own in results.items():
        if own.get("quick"):
            text += f"\n**{kind}: tiny sizes, only to see that it runs; its figures mean nothing.**\n"
        for name, said in own.get("failed", {}).items():
            text += f"\n**{kind}, {name}: not measured ({said}).**\n"
    return text


def goals(found, drawn):
    rows = []
    for own in found:
        unit = "" if own["unit"] == "x" else f" {own['unit']}"
        limit = f"{'at least' if own['above'] else 'at most'} {number(own['target'])}{unit}"
        value = spread(own, middle="value") if own["low"] != own["high"] else number(own["value"])
        rows.append([own["name"], value, limit, "reached" if own["reached"] else "**missed**", own["note"]])
    picture = "\n![Times as fast as each peer, and what was aimed at](benchmarks/targets.png)\n" * ("targets" in drawn)
    return "## What was aimed at\n\n" + table(["what", "measured", "target", "", "peer"], rows) + picture


def bounds(results):
    rows = [
        [
            row["what"],
            row["threads"],
            f"{number(row['rate'])} [{number(row['low'])}, {number(row['high'])}]",
            row["unit"],
        ]
        for row in rows_of(results, "bounds")
    ]
    if not rows:
        return ""
    text = """## What the machine can do

A copy between arrays larger than the caches (bytes read and written), square matrix products in torch, decoding of a made 1600 x 900
image by Pillow.

"""
    return text + table(["what", "threads", "rate", ""], rows)


def memory_rate(results):
    """Bytes a second and millisecond, None without it."""
    rows = [row for row in rows_of(results, "bounds") if row["what"] == "copy memory"]
    return rows[0]["rate"] * 1e6 if rows else None


def hot_paths(results):
    hot = rows_of(results, "hot_paths")
    if not hot:
        return ""
    rows, rate = [], memory_rate(results)
    for row in hot:
        if "ms" not in row:
            rows.append([row["what"], row["way"], f"{number(row['GiB'])} GiB", number(row["ratio"]), ""])
            continue
        bound = number(row["ms"] / (row["touched"] / rate)) if rate and "touched" in row else ""
        ratio = spread(row, "ratio_low", "ratio", "ratio_high")
        rows.append([row["what"], row["way"], spread(row), ratio if row["ratio"] != 1 else "1", bound])
    data = results["hot_paths"].get("data", "frames")
    if data == "real frames":
        data += " (of nuScenes, of SemanticKITTI; not in this repository: XKD_REAL names their folder, and without it made ones are taken)"
    text = f"""## Hot paths

On {data}. *of ours*: this way's time by ours, round by round (of memory: by SLidR's form).
*of the bound*: our time by what reading and writing the bytes that the step has to touch would take at the rate of a copy; below 1 the
caches hold them. Of loading, the bound is the second row, decoding the images alone. Rows with *processes* run in that many at once, a
call's share of the clock.

"""
    return text + table(["what", "way", "ms", "of ours", "of the bound"], rows)


def cuts(results):
    rows = []
    for row in rows_of(results, "superpixels"):
        spent, ratio = ([row[f"{kind}_{q}"] for q in (25, 50, 75)] for kind in ("ms", "ratio"))
        cells = [f"{number(m)} [{number(a)}, {number(b)}]" for a, m, b in (spent, ratio)]
        recall = "" if row["recall"] is None else f"{row['recall']:.3f}"
        rows.append([row["image"], row["method"], f"{row['segments']:.0f}", recall, f"{row['purity']:.3f}", *cells])
    head = ["image", "method", "segments", "recall", "purity", "ms of CPU", "of ours"]
    text = "## Superpixels\n\nEach method asked for the number that brings it nearest to our count, on one thread.\n\n"
    return text + table(head, rows) if rows else ""


def index(results):
    own = results.get("index")
    if not own:
        return ""
    rows = [
        [
            row["what"],
            f"{row['frames']:,}",
            row.get("reader_s", "within"),  # of results from before the two were told apart
            row["open_s"],
            row["open_cpu_s"],
            row["peak_mb"],
            row["frame_ms"],
            row["cameras_ms"],
        ]
        for row in own["rows"] + own["growth"][:-1]
    ]
    head = ["what", "frames", "imports, s", "s", "s of CPU", "highest memory, MB", "ms a frame", "ms its cameras"]
    size = sum(own["tables"].values()) / 1e9
    text = f"""## nuScenes' index

Made tables of the size and form of v1.0-trainval ({own["scenes"]} scenes, {size:.2f} GB of JSON), each row a new process. *imports*:
of the reader, and numba with it, before the opening. A first opening writes {own["cache"] / 1e6:.0f} MB for the next.
CPU time of the first opening grows with the frames to the power {own["slopes"]["open_cpu_s"]:.2f}.

"""
    return text + table(head, rows)


def step(results, drawn):
    rows, cells = rows_of(results, "step"), []
    if not rows:
        return ""
    for row in rows:
        own = [row["what"], row["processes"], row["loops"], *(f"{row[part]:.1f}" for part in PARTS)]
        own += [spread(row), number(1000 / row["ms"]), spread(row, "ratio_low", "ratio", "ratio_high")]
        cells.append(own)
    ahead = ", ".join(part for part in PARTS if part in MADE)
    text = f"""## A training step

The default student on the default data, part by part, ms: medians over {rows[0]["steps"]} steps. *step*: the parts after {ahead}, which a
second thread does ahead. *spconv*: spconv's and torch's own inner loops; the others are xkd/native.cpp's, and the last is what this machine
trains with. *ratio*: steps/s to spconv's, step by step. Of two processes each makes half a batch. In distillation *load*
holds the choice and whitening of teacher features.

On two cores a step that two processes share is several times slower than one process' own: at each norm they wait for each other. Sharing
is for GPUs and for more machines; two trainings side by side, as `dvc repro` has them, are what two cores are for.

"""
    text += table(["training", "processes", "loops", *PARTS, "step", "steps/s", "ratio"], cells)
    peak = next(
        (r["rate"] for r in rows_of(results, "bounds") if (r["what"], r["threads"]) == ("multiply float32", 1)), None
    )
    for row in rows:
        if row.get("operations") and row["loops"] == "float32" and peak:
            rate = row["operations"] / (row["forward"] + row["backward"]) / 1e6
            work, share = row["operations"] / 1e9, rate / peak
            text += (
                f"\nThe sparse convolutions of a step of {row['what']} are {work:.2f} Gflop; forward and backward, with all else "
                f"in them, run at {rate:.1f} Gflop/s in float32, {share:.0%} of a matrix product's rate on one core.\n"
            )
    return text + "\n![The parts of a step](benchmarks/step.png)\n" * ("step" in drawn)


def objectives(results):
    rows = [
        [row["phase"], row["way"], *(spread(row, f"{n}_low", n, f"{n}_high") for n in ("ms", "ratio", "MB"))]
        for row in rows_of(results, "objectives")
    ]
    if not rows:
        return ""
    text = """## Objectives

A step of each pretraining and of each way to fine-tune of the study, and a scan at inference, on the default data, each in a new process:
the difference of two lengths, so that what comes before the first step does not count. *ratio*: to the first of its phase. *MB*: how far
the process' highest memory is above that of its libraries, with the pages of data that the steps saw. *xmodel* is fine-tuned after
*fused*, whose pseudo-labels it learns from; at inference *student* is every row but *fused*.

"""
    return text + table(["phase", "way", "ms", "ratio", "MB"], rows)


def growth(results, drawn):
    rows = []
    for row in rows_of(results, "growth"):
        ends = f"{row['x'][0]:,} to {row['x'][-1]:,}"
        times = f"{number(row['ms'][0])} to {number(row['ms'][-1])}"
        slope = "" if row["slope"] is None else f"{row['slope']:+.2f}"
        rows.append([row["path"], row["against"], ends, times, slope, f"{row['expected']:+g}"])
    for stage, line in plan.lines(results):
        ends = f"{line['frames'][0]:,} to {line['frames'][-1]:,}"
        if "step_slope" in line:
            rows.append([f"a step of {stage}", "frames", ends, "", f"{line['step_slope']:+.2f}", "+0"])
        else:
            rows.append([f"stage {stage}", "frames", ends, "", f"{line['time_slope']:+.2f}", "+1"])
    if not rows:
        return ""
    text = """## Growth

The exponent of the cost by least squares on the logarithms: 1 is linear, 0 constant, -1 shared without loss. Fixed costs make it less at
small sizes. InfoNCE compares every row with every other, by definition. Workers beyond the cores are drawn and not in the exponent.

"""
    text += table(["path", "against", "sizes", "ms", "exponent", "expected"], rows)
    return (
        text
        + "\n![Cost against points, cameras, frames, superpixels, classes and workers](benchmarks/growth.png)\n"
        * ("growth" in drawn)
    )


def memory(results):
    rows = []
    for stage, line in plan.lines(results):
        cells = []
        for kind in ("anonymous", "file", "highest"):
            base, more, error = (line[f"{kind}_{name}"] for name in ("base", "per_thousand", "error"))
            cells.append(f"{base:,.0f} {more:+,.0f} ± {error:,.0f}")
        disk = number(line["disk_per_thousand"]) if "disk_per_thousand" in line else ""
        rows.append([stage, ", ".join(map(str, line["frames"])), *cells, disk])
    if not rows:
        return ""
    text = """## Memory of the stages

MB: base, and what a thousand frames add with its standard error, by a straight line through new processes of the frames given.
*anonymous*: what the process itself holds. *file*: pages of memory maps and libraries, which the machine takes back when it needs them.
*highest*: both at once. *disk*: what a stage writes for a thousand frames. The base is mostly libraries; what allocators and threads keep
differs from run to run, so that small additions, negative ones too, are chance. Frames are made; training the default teacher is not in it.

"""
    return text + table(["stage", "frames", "anonymous", "file", "highest", "disk"], rows)


ALIKE = """## Fast and plain give the same

Tests hold each fast path to a plain one: pairing to the devkit's pixels (tests/test_frames.py); voxels, projection, a confusion and the
superpixel loss to the peers that the benchmarks call (tests/test_benchmark_peers.py); InfoNCE in blocks to the whole matrix
(tests/test_contrast.py); the student's loops to spconv's (tests/test_native.py); the index to the plain tables
(tests/test_nuscenes_index.py); superpixels' colours and recall to scikit-image (tests/test_superpixels.py).
"""
