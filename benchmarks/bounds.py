"""`python benchmarks/bounds.py`: what this machine can do at most, beside which the hot paths are put: memory, arithmetic, decoding.

memory: a copy of an array larger than the caches, bytes read and written. arithmetic: a product of square matrices in torch, two
operations a factor, in float32, and in bfloat16 where the processor has it. decoding: a made 1600 x 900 image as JPEG and as PNG, through
Pillow, which is what the readers use.
"""

import io

import numpy as np
import torch
from made import picture
from PIL import Image
from timing import QUICK, compare, keep

from xkd.machine import bfloat16, cores

SIDE, BYTES = (256, 1 << 24) if QUICK else (1024, 1 << 28)


def rates():
    """[{what, unit, rate, low, high, threads}]: medians and quartiles."""
    source = np.ones(BYTES, np.uint8)
    target = np.empty_like(source)
    matrices = {"float32": torch.randn(SIDE, SIDE)}
    if bfloat16():
        matrices["bfloat16"] = matrices["float32"].bfloat16()
    decoded = {kind: encoded(picture(), kind) for kind in ("JPEG", "PNG")}
    pixels = picture().shape[0] * picture().shape[1]
    work = {"copy memory": (lambda: np.copyto(target, source), "GB/s", 2 * BYTES / 1e9)}
    for name, matrix in matrices.items():
        work[f"multiply {name}"] = (lambda m=matrix: m @ m, "Gflop/s", 2 * SIDE**3 / 1e9)
    for kind, data in decoded.items():
        work[f"decode {kind}"] = (lambda d=data: np.array(Image.open(io.BytesIO(d))), "Mpixel/s", pixels / 1e6)
    found = []
    for threads in sorted({1, cores()}):
        torch.set_num_threads(threads)
        for name, (run, unit, amount) in work.items():
            if threads > 1 and not name.startswith("multiply"):
                continue  # a copy and a decoder take one thread
            row = compare(f"{name}, {threads} threads" if threads > 1 else name, {"this machine": run}, 7)[0]
            rate = {"rate": row["ms"], "low": row["high"], "high": row["low"]}
            rate = {key: round(1000 * amount / ms, 3) for key, ms in rate.items()}
            found.append({"what": name, "threads": threads, "unit": unit} | rate)
    torch.set_num_threads(1)
    return found


def encoded(image, kind):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **({"quality": 90} if kind == "JPEG" else {"compress_level": 1}))
    return file.getvalue()


if __name__ == "__main__":
    keep("bounds", rates())
