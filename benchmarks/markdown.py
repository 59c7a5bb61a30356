"""Numbers and tables as docs/benchmarks.md shows them."""


def number(value):
    """Three significant digits, thousands by commas."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(head, rows):
    """Markdown; columns of figures to the right."""
    right = [
        bool(rows) and all(str(row[i])[:1] in "0123456789+-~" or not row[i] for row in rows) for i in range(len(head))
    ]
    lines = [head, ["---:" if own else "---" for own in right], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def spread(row, low="low", middle="ms", high="high"):
    return f"{number(row[middle])} [{number(row[low])}, {number(row[high])}]"
