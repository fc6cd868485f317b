"""Results as Markdown."""
import datetime
import math
import os
import pathlib

import cases

THREADS = {1: "one thread", 2: "two threads"}


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
            "and the same run. Engines take turns on the same cores."]


def cell_text(cell, base, how_suffix):
    if cell is None or math.isnan(cell.median_ms):
        return "–"
    text = f"{number(cell.min_ms)} / {number(cell.median_ms)}"
    if base is not None and not math.isnan(base.median_ms):
        text += f" ({cell.median_ms / base.median_ms:.1f}×)"
    return text + (f" {cell.how}" if how_suffix and cell.how else "")


def section(title, threads, workloads, rows, results):
    """One table: a shape of encoder on so many threads. results: {(row name, workload name): Cell}."""
    lines = [f"### {title}, {THREADS.get(threads, f'{threads} threads')}", "",
             "| | " + " | ".join(w.title for w in workloads) + " |", "|---" * (len(workloads) + 1) + "|"]
    notes = []
    for row in rows:
        is_ours = row.name.startswith("fettle")
        texts = []
        for workload in workloads:
            cell = results.get((row.name, workload.name))
            base = None if is_ours else results.get((f"fettle {row.format}", workload.name))
            texts.append(cell_text(cell, base, not is_ours))
        lines.append(f"| {row.title} | " + " | ".join(texts) + " |")
        reasons = {results[row.name, w.name].why for w in workloads if (row.name, w.name) in results} - {""}
        notes += [f"{row.title}: {reason}." for reason in sorted(reasons)]
    return lines + [""] + ([" ".join(notes), ""] if notes else [])


def target_text(target):
    shape = cases.SHAPES[target.shape].title
    ours, our_threads = target.ours
    name, threads = target.against
    if ours == name:
        return f"{shape}, {target.workload}, {ours}: {our_threads} threads", f"{threads} thread"
    return f"{shape}, {target.workload}, {ours}, {THREADS[our_threads]}", name


def targets(results, memory):
    """results: {(shape, threads, row, workload): Cell}; memory: {(shape, threads, row): {"rss_mb", "weights_mb"}}."""
    lines = ["### Targets", "", "| case | against | at least | reached | |", "|---|---|---|---|---|"]
    for target in cases.TARGETS:
        ours = results.get((target.shape, target.ours[1], target.ours[0], target.workload))
        other = results.get((target.shape, target.against[1], target.against[0], target.workload))
        if ours is None or other is None or math.isnan(ours.median_ms) or math.isnan(other.median_ms):
            continue
        ratio = other.median_ms / ours.median_ms
        what, against = target_text(target)
        lines.append(f"| {what} | {against} | {target.at_least}× | {ratio:.2f}× | "
                     f"{'reached' if ratio >= target.at_least else '**missed**'} |")
    for (shape, threads, row), used in memory.items():
        if shape != "bert-base" or row != "fettle int8" or "weights_mb" not in used:
            continue
        more = used["rss_mb"] - used["weights_mb"]
        lines.append(f"| BERT-base, int8, {THREADS[threads]}: resident {used['rss_mb']:.0f} MiB | weights, {used['weights_mb']:.0f} MiB "
                     f"| + {cases.MEMORY_TARGET_MB} MiB at most | {more:+.0f} MiB | "
                     f"{'reached' if more <= cases.MEMORY_TARGET_MB else '**missed**'} |")
    return lines + [""] if len(lines) > 4 else []
