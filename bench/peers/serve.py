"""The worker's end of the protocol of bench/peers (worker.py has the driver's end)."""
import json
import sys
import time


def lay_out(lengths, layout):
    """Batches of indices that a peer without ragged batches runs one after another.

    "padded": all in one; "buckets": eight at a time, sorted by length; "single": one by one.
    """
    if layout == "padded":
        return [list(range(len(lengths)))]
    if layout == "single":
        return [[i] for i in range(len(lengths))]
    if layout == "buckets":
        order = sorted(range(len(lengths)), key=lambda i: lengths[i])
        return [order[i:i + 8] for i in range(0, len(order), 8)]
    raise ValueError(f"layout {layout!r} is unknown")


def resident_mb():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def timed(run, queries):
    """Milliseconds of each of so many calls."""
    times = []
    for _ in range(queries):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def serve(hello, times_ms, memory_mb=resident_mb):
    """Answers until standard input ends. times_ms(lengths, layout, queries) gives milliseconds of each query."""
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            times = times_ms(request["lengths"], request["layout"], request["queries"])
            reply = {"ms": times, "rss_mb": memory_mb()}
        except Exception as error:  # the driver prints it and goes on with the others
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)
