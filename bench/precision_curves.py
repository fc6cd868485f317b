#!/usr/bin/python3
"""Training with bf16 products beside training with f32 ones: the same data, options and seeds; losses and accuracies.

    precision_curves.py OUT MODEL TRAIN EVAL [--seeds N] [--fettle PROGRAM] [option of fettle train ...]

Writes OUT/precision.svg (losses of every seed and mean accuracies) and prints a table in Markdown: loss and accuracy of
each epoch, mean and standard deviation over the seeds, and the largest relative difference of the loss curves beside
that between seeds of the same precision.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess

COLOURS = {"f32": "#4477aa", "bf16": "#ee6677"}


def train(options, rest, precision, seed):
    folder = f"{options.out}/{precision}-{seed}"
    result = f"{folder}.json"
    if not os.path.exists(result):
        shutil.rmtree(folder, ignore_errors=True)
        command = [options.fettle, "train", options.model, "--data", options.train, "--eval", options.eval, "--precision", precision,
                   "--seed", str(seed), "--quiet", "--json", "--out", folder, *rest]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        shutil.rmtree(folder)
        with open(result, "wb") as file:
            file.write(output)
    with open(result) as file:
        return json.load(file)


def losses(run):
    return [point["loss"] for point in run["curve"]]


def spread(a, b):
    """The largest difference of two curves, as a share of their mean, each smoothed over a tenth of the run."""
    width = max(1, len(a) // 10)

    def smooth(values):
        return [statistics.fmean(values[i:i + width]) for i in range(len(values) - width + 1)]

    return max(abs(x - y) / ((x + y) / 2) for x, y in zip(smooth(a), smooth(b)))


def polyline(values, top, colour, box):
    left, right, upper, lower = box
    points = " ".join(f"{left + (right - left) * i / (len(values) - 1):.1f},{lower - (lower - upper) * v / top:.1f}"
                      for i, v in enumerate(values))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" points="{points}"/>'


def plot(runs):
    box = (60, 780, 20, 280)
    top = max(max(losses(run)) for group in runs.values() for run in group) * 1.05
    parts = ['<svg viewBox="0 0 820 330" xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12">',
             '<rect width="820" height="330" fill="#ffffff"/>']
    for tick in range(int(top) + 1):
        y = box[3] - (box[3] - box[2]) * tick / top
        parts.append(f'<line x1="60" x2="780" y1="{y:.1f}" y2="{y:.1f}" stroke="#d8dde3"/>'
                     f'<text x="52" y="{y + 4:.1f}" text-anchor="end" fill="#5b6470">{tick}</text>')
    steps = next(iter(runs.values()))[0]["steps"]
    for quarter in range(5):
        parts.append(f'<text x="{60 + 180 * quarter}" y="298" text-anchor="middle" fill="#5b6470">{steps * quarter // 4}</text>')
    parts.append('<text x="420" y="318" text-anchor="middle" fill="#1c2128">step</text>')
    for row, (precision, group) in enumerate(runs.items()):
        parts += [polyline(losses(run), top, COLOURS[precision], box) for run in group]
        parts.append(f'<text x="700" y="{44 + 18 * row}" fill="{COLOURS[precision]}">{precision}, {count(group)}</text>')
    return "\n".join(parts + ["</svg>\n"])


def count(group):
    return f"{len(group)} seed" + ("s" if len(group) > 1 else "")


def mean(values):
    text = f"{statistics.fmean(values):.4f}"
    return text + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


def table(runs):
    print("| epoch | " + " | ".join(f"loss, {p}" for p in runs) + " | " + " | ".join(f"accuracy, {p}" for p in runs) + " |")
    print("|" + "---|" * (1 + 2 * len(runs)))
    for epoch in range(len(runs["f32"][0]["epochs"])):
        cells = [mean([run["epochs"][epoch][key] for run in group]) for key in ("loss", "accuracy") for group in runs.values()]
        print(f"| {epoch + 1} | " + " | ".join(cells) + " |")
    between = [spread(losses(a), losses(b)) for a, b in zip(runs["f32"], runs["bf16"])]
    seeds = [spread(losses(a), losses(b)) for group in runs.values() for a in group for b in group if a is not b]
    print(f"\nLargest difference of smoothed losses: {max(between):.1%} between the precisions (same seed)"
          + (f", {max(seeds):.1%} between seeds (same precision)." if seeds else "."))
    speeds = {p: statistics.fmean(run["samples_per_s"] for run in group) for p, group in runs.items()}
    print("Samples per second: " + ", ".join(f"{p} {speed:.0f}" for p, speed in speeds.items()) + ".")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("out", "model", "train", "eval"):
        parser.add_argument(name)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fettle", default="build/release/cli/fettle")
    options, rest = parser.parse_known_args()
    os.makedirs(options.out, exist_ok=True)
    runs = {precision: [train(options, rest, precision, seed) for seed in range(options.seeds)] for precision in ("f32", "bf16")}
    with open(f"{options.out}/precision.svg", "w") as file:
        file.write(plot(runs))
    table(runs)


if __name__ == "__main__":
    main()
