#!/usr/bin/python3
"""Methods beside each other on one model: size, latency, accuracy, and whether the difference from the model is real.

    method_table.py ROWS OUT MODEL TRAIN EVAL TEST [--seeds N] [--rounds N] [--jobs N] [--fettle PROGRAM] [option of the data ...]

ROWS is a file of lines "name: verb options; verb options …", the steps of one row: each step's model is the one before it,
the first step's is MODEL. {train} and {eval} stand for the data (without their options, which all steps get that read
data), other names in braces for what a line "name = words" of the file says. "#" begins a comment.

Accuracy is that on TEST, mean and standard deviation over the seeds; difference and p-value (McNemar's exact test) are those
of the first seed. p50: median latency of one query of 12 and of 128 tokens on one thread, the median of --rounds rounds in
which all rows take turns; in brackets how many times faster than MODEL. Prints a table in Markdown. What is done is kept in
OUT, so that a run that was stopped goes on.
"""
import argparse
import concurrent.futures
import os
import re
import shlex
import statistics

import kept

LENGTHS = (12, 128)


def read_rows(path):
    """[(name, [words of a step, ...])] with the file's own names put in."""
    names, rows = {}, []
    with open(path) as file:
        for line in file:
            line = line.split("#")[0].strip()
            if not line:
                continue
            definition = re.fullmatch(r"(\w+) = (.*)", line)
            if definition:
                names[definition[1]] = fill(definition[2], names)
                continue
            name, steps = line.split(": ", 1)
            rows.append((name, [shlex.split(fill(step, names)) for step in steps.split(";")]))
    return rows


def fill(text, names):
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), text)


def safe(name):
    return re.sub(r"[^\w.-]+", "-", name)


class Table(kept.Runner):
    def __init__(self, options, rest):
        super().__init__(options.fettle, options.out)
        self.options, self.rest = options, rest

    def step(self, words, model, to, seed):
        data = {"train": self.options.train, "eval": self.options.eval}
        words = [fill(word, data) for word in words]
        reads_data = any(word in ("--data", "--eval", "--calibrate") for word in words)
        return self.call(words[0], model, *words[1:], *(self.rest if reads_data else []), "--seed", str(seed), "--force", "--out", to)

    def run(self, row, steps, seed):
        name = f"{safe(row)}-{seed}"

        def make():
            model = self.options.model
            for index, words in enumerate(steps):
                last = index + 1 == len(steps)
                to = f"{self.out}/{name}" + ("" if last else f".{index}")
                done = self.step(words, model, to, seed)
                model = to
            compared = self.call("compare", self.options.model, model, "--data", self.options.test, "--runs", "1", "--warmup", "0", *self.rest)
            for index in range(len(steps) - 1):
                self.forget(f"{name}.{index}")
            if seed > 0:
                self.forget(name)
            before, after = compared["models"]
            return {"size_mb": after["size_mb"], "accuracy": after["accuracy"], "in_scope": after["in_scope_accuracy"],
                    "oos_recall": after["oos_recall"], "before": before["accuracy"], "difference": compared["pairs"][0]["accuracy_difference"],
                    "p": compared["pairs"][0]["mcnemar_p"], "sparsity": done.get("sparsity")}

        return self.kept(name, make)

    def times(self, rows):
        """{(row, length): median of p50s}; row None is MODEL."""
        folders = {None: self.options.model, **{row: f"{self.out}/{safe(row)}-0" for row, _ in rows}}
        found = {(row, length): [] for row in folders for length in LENGTHS}
        for number in range(self.options.rounds):
            def measure():
                return [[self.call("bench", folder, "--sequence", str(length), "--runs", "40")["p50_ms"] for length in LENGTHS]
                        for folder in folders.values()]
            key = safe(os.path.splitext(os.path.basename(self.options.rows))[0])
            for row, values in zip(folders, self.kept(f"times-{key}-{len(rows)}-{number}", measure)):
                for length, value in zip(LENGTHS, values):
                    found[row, length].append(value)
        return {key: statistics.median(values) for key, values in found.items() if values}


def command(steps):
    return "; ".join(" ".join(word for word in words) for words in steps)


def mean_and_spread(values):
    text = f"{statistics.fmean(values):.2f}"
    return text + f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else text


def significance(p):
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def cell_of_time(times, row, length):
    if (row, length) not in times:
        return "–"
    text = f"{times[row, length]:.3f}"
    return text if row is None else text + f" ({times[None, length] / times[row, length]:.2f} ×)"


def print_table(table, rows, results):
    times = table.times(rows)
    first = results[rows[0][0], 0]
    base = table.kept("base", lambda: {"size_mb": table.call("inspect", table.options.model)["size_mb"]})
    print("| | MiB | p50, 12 tokens, ms | 128 tokens | accuracy, % | difference | p |")
    print("|" + "---|" * 7)
    print(f"| the model | {base['size_mb']:.2f} | {cell_of_time(times, None, 12)} | {cell_of_time(times, None, 128)} "
          f"| {100 * first['before']:.2f} | | |")
    for row, _ in rows:
        runs = [results[row, seed] for seed in range(table.options.seeds)]
        print(f"| {row} | {runs[0]['size_mb']:.2f} | {cell_of_time(times, row, 12)} | {cell_of_time(times, row, 128)} "
              f"| {mean_and_spread([100 * run['accuracy'] for run in runs])} | {100 * runs[0]['difference']:+.2f} | {significance(runs[0]['p'])} |")
    print("\n| | command |\n|---|---|")
    for row, steps in rows:
        print(f"| {row} | `{command(steps)}` |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("rows", "out", "model", "train", "eval", "test"):
        parser.add_argument(name)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="of timing; 0: none")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--fettle", default="build/release/cli/fettle")
    options, rest = parser.parse_known_args()
    rows = read_rows(options.rows)
    table = Table(options, rest)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        # All rows once before the second seed, so that a table can be read early.
        futures = {(row, seed): pool.submit(table.run, row, steps, seed) for seed in range(options.seeds) for row, steps in rows}
        results = {key: future.result() for key, future in futures.items()}
    print_table(table, rows, results)


if __name__ == "__main__":
    main()
