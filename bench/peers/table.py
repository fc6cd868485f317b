"""Results as Markdown."""
import datetime
import math
import os
import pathlib

import cases
import measure

NOTHING = measure.Cell()


def threads_text(threads):
    return {1: "one thread", 2: "two threads"}.get(threads, f"{threads} threads")


def number(ms):
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def cpu_features():
    flags = set()
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("flags", "Features")):
            flags = set(line.split(":", 1)[1].split())
            break
    known = ["amx_int8", "amx_bf16", "avx512_vnni", "avx512f", "avx2", "asimddp"]
    return ", ".join(flag for flag in known if flag in flags) or "no vector extension known here"


def heading(command, versions):
    load = os.getloadavg()[0]
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return [f"{datetime.date.today():%Y-%m-%d}, {cpu_name()} ({cpu_features()}; {os.cpu_count()} cores, load {load:.1f} at the end). "
            f"`{command}`.",
            f"{named or 'no peer'}. Milliseconds, *minimum / median*; in brackets the peer's median ÷ fettle's in the same format "
            "and the same run; *limit*: weights ÷ bandwidth or operations ÷ peak, whichever is more, as measured between the turns. "
            "Engines take turns on the same cores."]


def cell_text(cell, base):
    """base: fettle's cell in the same format; None in fettle's own rows."""
    if cell is None or math.isnan(cell.median_ms):
        return "–"
    text = f"{number(cell.min_ms)} / {number(cell.median_ms)}"
    if not math.isnan(cell.limit_ms):
        text += f", limit {number(cell.limit_ms)}"
    if base is not None and not math.isnan(base.median_ms):
        text += f" ({cell.median_ms / base.median_ms:.1f}×)"
    return text + (f" {cell.how}" if base is not None and cell.how else "")


def memory_text(cells):
    used = [cell.rss_mb for cell in cells if cell is not None and not math.isnan(cell.rss_mb)]
    return f"{max(used):.0f}" if used else "–"


def section(title, threads, workloads, rows, results):
    """One table: a shape of encoder on so many threads. results: {(row name, workload name): Cell}."""
    lines = [f"### {title}, {threads_text(threads)}", "",
             "| | " + " | ".join(w.title for w in workloads) + " | MiB resident |", "|---" * (len(workloads) + 2) + "|"]
    notes = []
    for row in rows:
        cells = [results.get((row.name, workload.name)) for workload in workloads]
        bases = [None if row.is_ours else results.get((f"fettle {row.format}", workload.name), NOTHING) for workload in workloads]
        texts = [cell_text(cell, base) for cell, base in zip(cells, bases)]
        lines.append(f"| {row.title} | " + " | ".join(texts) + f" | {memory_text(cells)} |")
        reasons = {cell.why for cell in cells if cell is not None and cell.why}
        notes += [f"{row.title.strip('*')}: {reason}." for reason in sorted(reasons)]
    return lines + [""] + ([" ".join(notes), ""] if notes else [])


def verdict(reached):
    return "reached" if reached else "**missed**"


def ratio_targets(results):
    for target in cases.TARGETS:
        (ours_name, ours_threads), (name, threads) = target.ours, target.against
        ours = results.get((target.shape, ours_threads, ours_name, target.workload), NOTHING)
        other = results.get((target.shape, threads, name, target.workload), NOTHING)
        if math.isnan(ours.median_ms) or math.isnan(other.median_ms):
            continue
        ratio, best = other.median_ms / ours.median_ms, other.min_ms / ours.min_ms
        against = name if ours_name != name else threads_text(threads)
        yield (f"{cases.SHAPES[target.shape].title}, {target.workload}, {ours_name}, {threads_text(ours_threads)} | {against} | "
               f"{target.at_least}× | {ratio:.2f}× ({best:.2f}×) | {verdict(ratio >= target.at_least)}")


def limit_target(results):
    cell = results.get(("bert-base", 1, "fettle int8", "1x12"), NOTHING)
    if math.isnan(cell.limit_ms) or math.isnan(cell.median_ms):
        return
    times = cell.median_ms / cell.limit_ms
    yield (f"BERT-base, 1x12, fettle int8, one thread | the memory's limit, {number(cell.limit_ms)} ms | {cases.LIMIT_TARGET}× at most | "
           f"{times:.2f}× ({cell.min_ms / cell.limit_ms:.2f}×) | {verdict(times <= cases.LIMIT_TARGET)}")


def memory_targets(results, weights_mb):
    """Of single queries; weights_mb: {(shape, row): MiB}."""
    weights = weights_mb.get(("bert-base", "fettle int8"))
    for threads in sorted({key[1] for key in results}):
        used = [cell.rss_mb for (shape, n, row, workload), cell in results.items()
                if (shape, n, row) == ("bert-base", threads, "fettle int8") and workload.startswith("1x") and not math.isnan(cell.rss_mb)]
        if weights is None or not used:
            continue
        more = max(used) - weights
        yield (f"BERT-base, int8, resident memory, {threads_text(threads)} | weights, {weights:.0f} MiB | "
               f"{cases.MEMORY_TARGET_MB:+d} MiB at most | {max(used):.0f} MiB, {more:+.0f} | "
               f"{verdict(more <= cases.MEMORY_TARGET_MB)}")


def targets(results, weights_mb):
    """What of the targets was measured. results: {(shape, threads, row, workload): Cell}."""
    found = [*ratio_targets(results), *limit_target(results), *memory_targets(results, weights_mb)]
    if not found:
        return []
    return ["### Targets", "", "Ratios of medians; in brackets of the least times.", "", "| case | against | target | reached | |",
            "|---|---|---|---|---|", *(f"| {line} |" for line in found), ""]
