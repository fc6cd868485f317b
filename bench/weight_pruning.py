#!/usr/bin/python3
"""Magnitude, movement and soft movement pruning beside each other: accuracy by share removed, with and without distillation.

    weight_pruning.py OUT MODEL TRAIN EVAL TEST [--targets 0.5,0.9,0.97] [--methods magnitude,movement,soft-movement]
                      [--teaching none,distill] [--seeds N] [--fettle PROGRAM] [option of fettle prune ...]

Prints a table in Markdown: accuracy on TEST of each method and target, mean and standard deviation over the seeds, and
for the first seed the difference from MODEL with the p-value of McNemar's test. Runs whose results are in OUT are not
repeated.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess


def run(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def finished(path, make):
    if not os.path.exists(path):
        result = make()
        with open(path + ".part", "w") as file:
            json.dump(result, file)
        os.rename(path + ".part", path)
    with open(path) as file:
        return json.load(file)


def prune(options, rest, method, target, teaching, seed):
    folder = f"{options.out}/{method}-{target}-{teaching}-{seed}"

    def make():
        shutil.rmtree(folder, ignore_errors=True)
        command = [options.fettle, "prune", options.model, "--method", method, "--target", str(target), "--data", options.train, "--eval",
                   options.eval, "--seed", str(seed), "--quiet", "--json", "--out", folder, *rest]
        result = run(command + (["--distill"] if teaching == "distill" else []))
        data = [] if "--oos" not in rest else ["--oos", rest[rest.index("--oos") + 1]]
        compared = run([options.fettle, "compare", options.model, folder, "--data", options.test, "--runs", "1", "--warmup", "0",
                        "--quiet", "--json", *data])
        pair = compared["pairs"][0]
        shutil.rmtree(folder)
        return {"sparsity": result["sparsity"], "eval": result["accuracy"], "seconds": result["epochs"][-1]["seconds"],
                "test": compared["models"][1]["accuracy"], "teacher": compared["models"][0]["accuracy"],
                "difference": pair["accuracy_difference"], "p": pair["mcnemar_p"]}

    return finished(folder + ".json", make)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("out", "model", "train", "eval", "test"):
        parser.add_argument(name)
    parser.add_argument("--targets", default="0.5,0.9,0.97")
    parser.add_argument("--methods", default="magnitude,movement,soft-movement")
    parser.add_argument("--teaching", default="none,distill")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fettle", default="fettle")
    options, rest = parser.parse_known_args()
    os.makedirs(options.out, exist_ok=True)
    print("| removed | method | teacher | accuracy, test | by seed | p, first seed |")
    print("|---|---|---|---|---|---|")
    for target in options.targets.split(","):
        for teaching in options.teaching.split(","):
            for method in options.methods.split(","):
                runs = [prune(options, rest, method, target, teaching, seed) for seed in range(1, options.seeds + 1)]
                tests = [one["test"] for one in runs]
                spread = statistics.stdev(tests) if len(tests) > 1 else 0
                print(f"| {100 * runs[0]['sparsity']:.1f} % | {method} | {'unpruned model' if teaching == 'distill' else '–'} "
                      f"| {statistics.mean(tests):.4f} ± {spread:.4f} | {' '.join(f'{t:.4f}' for t in tests)} | {runs[0]['p']:.2g} |",
                      flush=True)


if __name__ == "__main__":
    main()
