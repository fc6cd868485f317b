"""Times several engines on one workload, in turns."""
import dataclasses
import math
import statistics
import time

import serve
import worker

SETTLE_S = 0.03       # before a turn: threads of some engines spin for a while after their work
WARM_MS = 5           # of a turn, one query at least, is not counted: it finds the caches full of another's weights
TURN_MS = 60          # about as long as an engine works then, before the next one has its turn
TURN_QUERIES = 25     # and no more queries than that
BUDGET_MS = 12_000    # of one engine on one workload; a slower one sits out rounds, evenly
HOPELESS = 2.0        # a way of laying out the batch that is so much slower than another of the same engine is dropped
PADDING = 4.0         # a layout that takes so many times the real tokens is not tried where there are others
LONG_MS = 2000        # of longer queries one trial is enough
ONE_TIME_MS = 2500    # a longer query is timed once, by its trial
COLD_MS = 400         # of longer queries all are counted


@dataclasses.dataclass
class Way:
    """One process with one layout: "padded", "buckets", "single" or "ragged"."""
    process: worker.Worker
    layout: str
    label: str = ""
    times_ms: list = dataclasses.field(default_factory=list)
    trial_ms: float = 0


@dataclasses.dataclass
class Cell:
    """What one row of the table reached on one workload."""
    median_ms: float = float("nan")
    min_ms: float = float("nan")
    samples: int = 0
    rss_mb: float = float("nan")
    limit_ms: float = float("nan")  # of fettle's rows: what the machine allows
    how: str = ""   # the best way, where there were several
    why: str = ""   # why there is no number


def without_padding(ways, lengths):
    """Leaves the layouts out that are mostly padding, when others remain."""
    def ratio(way):
        if way.layout == "ragged":
            return 1
        return sum(len(rows) * max(lengths[i] for i in rows) for rows in serve.lay_out(lengths, way.layout)) / sum(lengths)
    return [way for way in ways if ratio(way) < PADDING] or ways


def try_ways(ways, lengths):
    """Keeps the ways that work and are not far behind the best of them; says why when none is left."""
    kept, why = [], ""
    ways = without_padding(ways, lengths)
    best_ms = float("inf")
    for way in ways:
        try:
            [way.trial_ms] = way.process.times_ms(lengths, way.layout, 1)
            if way.trial_ms < min(2 * HOPELESS * best_ms, LONG_MS):  # the first call may be slow
                [way.trial_ms] = way.process.times_ms(lengths, way.layout, 1)
            best_ms = min(best_ms, way.trial_ms)
            way.times_ms = [way.trial_ms] if way.trial_ms > ONE_TIME_MS else []
            kept.append(way)
        except worker.WorkerError as error:
            why = str(error)
    return [way for way in kept if way.trial_ms <= HOPELESS * best_ms], why


def take_turn(way, lengths, round_number, n_rounds):
    query_ms = max(way.trial_ms, 1e-3)
    if query_ms > ONE_TIME_MS:
        return
    queries = max(1, min(TURN_QUERIES, round(TURN_MS / query_ms)))
    warming = min(TURN_QUERIES, math.ceil(WARM_MS / query_ms)) if query_ms < COLD_MS else 0
    every = max(1, min(round(n_rounds * query_ms * (queries + warming) / BUDGET_MS), n_rounds // 3))
    if round_number % every == 0:
        time.sleep(SETTLE_S)
        way.times_ms += way.process.times_ms(lengths, way.layout, queries + warming)[warming:]


def best_cell(ways, why):
    timed = [way for way in ways if way.times_ms]
    if not timed:
        return Cell(why=why or "not timed")
    best = min(timed, key=lambda way: statistics.median(way.times_ms))
    return Cell(statistics.median(best.times_ms), min(best.times_ms), len(best.times_ms),
                best.process.rss_mb, how=best.label)


def measure(rows, lengths, n_rounds, between):
    """rows: {name: [Way]}. Gives {name: Cell}: of the ways of each row that with the least median.

    between(round_number) is called after every round.
    """
    kept, why = {}, {}
    for name, ways in rows.items():
        kept[name], why[name] = try_ways(ways, lengths)
    for round_number in range(n_rounds):
        for name, ways in kept.items():
            for way in ways:
                take_turn(way, lengths, round_number, n_rounds)
        between(round_number)
    return {name: best_cell(kept[name], why[name]) for name in rows}
