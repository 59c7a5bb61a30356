"""Free places on a street's strips."""

NEAR, FAR = 30.0, 112.0  # metres along the street: the part that the ego's sensors see well


def ranges(street, what, side, s):
    """[(low, high)] of |d| of the strips of this kind on one side at s, nearest first."""
    d, found = street.layout.road_half, []
    for width, _, _, _, kind in street.layout.outward(s, side):
        width = min(width, 6.0)
        if kind == what:
            found.append((d, d + width))
        d += width
    return found


def spot(street, what, radius, low=NEAR, high=FAR, length=0.0, edge=0.0, tries=25):
    """A free place (s, d, side) on ground of this kind, or None; `edge` > 0 keeps to that many metres from its near
    edge.
    """
    rng = street.rng
    for _ in range(tries):
        s, side = rng.uniform(low, high), int(rng.choice([1, -1]))
        if street.layout.inside(s, 3.0 + length / 2):
            continue
        strips = ranges(street, what, side, s)
        if not strips:
            continue
        a, b = strips[rng.integers(len(strips))]
        if b - a < 2 * min(radius, 0.4):
            continue
        d = side * (a + edge if edge else rng.uniform(a + min(radius, 0.4), b - min(radius, 0.4)))
        if street.free(s, d, radius, length):
            return s, d, side
    return None


def somewhere(street, kinds, *args, **options):
    """The first free spot over several kinds of ground."""
    for what in kinds:
        place = spot(street, what, *args, **options)
        if place:
            return place
    return None
