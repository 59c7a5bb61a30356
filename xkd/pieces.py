"""Pieces of a map of ids that become one: connectivity, small ones that join a neighbour, alike ones that merge.

All in one file: the cache of a compiled function does not see when one that it calls has changed in another.
"""

from heapq import heappop, heappush

import numba
import numpy as np

jit = numba.njit(cache=True, nogil=True, error_model="numpy")
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@jit
def connected(label):
    """(H, W) int32 ids of the 4-connected pieces of a label, in the order of their first pixels, and these pixels (P,), row by row."""
    height, width = label.shape
    piece = np.empty((height, width), np.int32)
    parent, first = np.empty(height * width, np.int32), np.empty(height * width, np.int64)
    count = 0
    for i in range(height):
        for j in range(width):
            k = label[i, j]
            above, left = i > 0 and label[i - 1, j] == k, j > 0 and label[i, j - 1] == k
            if left:
                piece[i, j] = piece[i, j - 1]
                if above and label[i - 1, j - 1] != k:  # else they have met there
                    one, other = top(parent, piece[i - 1, j]), top(parent, piece[i, j])
                    parent[max(one, other)] = min(one, other)
            elif above:
                piece[i, j] = piece[i - 1, j]
            else:
                parent[count] = piece[i, j] = count
                first[count] = i * width + j
                count += 1
    first = first[:count][parent[:count] == np.arange(count)]
    return renumbered(piece, parent[:count]), first


@jit
def join_small(piece, first, total, least):
    """What `connected` gives, the totals (P, C + 3) of its pieces (`superpixels.totals`), and how many pixels each needs at least ->
    (P,) parent of each piece: while one has too few, it joins the neighbour of nearest mean. `total` becomes that of the joined.

    The paper joins a stray piece to whichever neighbour was met last.
    """
    channels = total.shape[1] - 3
    size = total[:, channels + 2]
    small = np.flatnonzero(size < least)
    near, start = _neighbours(piece, first, small, size)
    parent, mean = np.arange(len(first)), total[:, :channels] / np.expand_dims(size, 1)
    joined = True
    while joined:  # again while a group of small pieces may still be small
        joined = False
        for at, k in enumerate(small):
            own = top(parent, k)
            if size[own] >= least[own]:
                continue
            best, other = np.inf, -1
            for p in range(start[at], start[at + 1]):
                group = top(parent, near[p])
                if group != own:
                    d = 0.0
                    for c in range(channels):
                        d += (mean[group, c] - mean[own, c]) ** 2
                    if d < best:
                        best, other = d, group
            if other >= 0:
                parent[own] = other
                size[other] += size[own]
                for c in range(channels):
                    total[other, c] += total[own, c]
                    mean[other, c] = total[other, c] / size[other]
                joined = True
    return parent


@jit
def _neighbours(piece, first, small, size):
    """What each of the pieces `small` meets, in the order in which a flood from its first pixel meets it: near[start[k] : start[k + 1]]."""
    height, width = piece.shape
    start = np.zeros(len(small) + 1, np.int64)
    near = np.empty(4 * int(size[small].sum()), np.int32)
    row, column = np.empty(len(near) // 4, np.int32), np.empty(len(near) // 4, np.int32)
    seen = np.zeros((height, width), np.bool_)
    found = 0
    for at, k in enumerate(small):
        head, tail = 0, 1
        row[0], column[0] = first[k] // width, first[k] % width
        seen[row[0], column[0]] = True
        last = -1
        while head < tail:
            for down, right in STEPS:
                i, j = row[head] + down, column[head] + right
                if 0 <= i < height and 0 <= j < width and piece[i, j] != last:
                    if piece[i, j] != k:
                        near[found] = last = piece[i, j]
                        found += 1
                    elif not seen[i, j]:
                        seen[i, j] = True
                        row[tail], column[tail] = i, j
                        tail += 1
            head += 1
        start[at + 1] = found
    return near, start


@jit
def merge(segments, total, n, place):
    """(H, W) ids 0..m-1 and their totals (m, C + 3) -> (m,) parent of each, n of them their own: always those two neighbours a and b
    become one that raise the squared distance of all pixels to the means of their segments least, by |a| |b| / (|a| + |b|) times the
    squared difference of their means (Ward). Means are of the planes and of rows and columns, whose squares are weighed by `place`.
    """
    count = len(total)
    first, follows, other = _borders(segments, count)
    parent, changes = np.arange(count), np.zeros(count, np.int64)
    last, met = np.empty(count, np.int64), np.full(count, -1, np.int64)
    heap = [(0.0, 0, 0, 0)]
    heap.pop()
    for a in range(count):
        last[a] = _offer(a, a, heap, total, first, follows, other, parent, changes, met, place)
    left, walk = count, count
    while left > n and len(heap):
        _, a, b, stamp = heappop(heap)
        if parent[a] != a or parent[b] != b or stamp != changes[a] + changes[b]:
            continue  # one of them is no longer what it was
        parent[b] = a
        total[a] += total[b]
        changes[a] += 1
        follows[last[a]] = first[b]
        last[a] = _offer(a, walk, heap, total, first, follows, other, parent, changes, met, place)
        left, walk = left - 1, walk + 1
    return parent


@jit
def _borders(segments, count):
    """Whom each segment borders on, as linked lists: first[a] is a place h (-1: none), other[h] a neighbour of a, follows[h] the next
    place. A neighbour can occur many times; along a straight border it does not."""
    height, width = segments.shape
    first = np.full(count, -1, np.int64)
    follows, other = np.empty(4 * segments.size, np.int64), np.empty(4 * segments.size, np.int32)
    used = 0
    for i in range(height):
        for j in range(width):
            for down, right in ((0, 1), (1, 0)):
                if i + down < height and j + right < width and segments[i, j] != segments[i + down, j + right]:
                    a, b = segments[i, j], segments[i + down, j + right]
                    y, x = i - right, j - down  # the pixel before, along the border
                    if y >= 0 and x >= 0 and segments[y, x] == a and segments[y + down, x + right] == b:
                        continue
                    other[used], follows[used], first[a] = b, first[a], used
                    other[used + 1], follows[used + 1], first[b] = a, first[b], used + 1
                    used += 2
    return first, follows, other


@jit
def _offer(a, walk, heap, total, first, follows, other, parent, changes, met, place):
    """Puts what joining `a` with each of its neighbours costs on the heap; shortens its list to one place for each of them, and
    returns the last of these places."""
    channels, last, h = total.shape[1] - 3, -1, first[a]
    while h >= 0:
        b = top(parent, other[h])
        if b == a or met[b] == walk:
            if last < 0:
                first[a] = follows[h]
            else:
                follows[last] = follows[h]
        else:
            met[b], last = walk, h
            if walk != a or a < b:  # at the start each of two offers to the other
                x, y = total[a, channels + 2], total[b, channels + 2]
                cost = 0.0
                for c in range(channels + 2):
                    cost += (total[a, c] / x - total[b, c] / y) ** 2 * (1.0 if c < channels else place)
                heappush(heap, (cost * x * y / (x + y), min(a, b), max(a, b), changes[a] + changes[b]))
        h = follows[h]
    return last


@jit
def renumbered(piece, parent):
    """(H, W) ids, and for each id another that it has joined, or itself -> (H, W) int32 ids 0..m-1 in the order of their first ids."""
    number = np.full(len(parent), -1, np.int32)
    used = 0
    for k in range(len(parent)):
        group = top(parent, k)
        if number[group] < 0:
            number[group] = used
            used += 1
        number[k] = number[group]
    segments = np.empty(piece.shape, np.int32)
    for i in range(piece.shape[0]):
        for j in range(piece.shape[1]):
            segments[i, j] = number[piece[i, j]]
    return segments


@jit
def top(parent, k):
    """The group that piece `k` belongs to by now."""
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k
