#!/usr/bin/python3
"""Students of several sizes, each trained with several recipes and seeds: what distillation brings, and whether it is real.

    students.py OUT TEACHER TRAIN EVAL TEST [--student NAME=RULE ...] [--recipe NAME ...] [--seeds N] [--trials N] [--jobs N]
                [--fettle PROGRAM] [option of fettle distill ...]

Every student is cut out of the teacher, so all recipes start with the same weights. Recipes: none (labels only), logits,
hidden (logits and hidden states), searched (logits, with the epochs, alpha, temperature and rate that a search of --trials
found on EVAL with the first seed). Each training's best epoch is chosen on EVAL, its accuracy measured on TEST. Prints a
table in Markdown: mean and standard deviation over the seeds, and the p-value of Welch's two-sided t-test against none.
What is done is kept in OUT, so that a run that was stopped goes on.
"""
import argparse
import concurrent.futures
import math
import os
import statistics

import kept

STUDENTS = ["50 %=layers=0,2 hidden=208 intermediate=640", "25 %=layers=0,2 hidden=128 intermediate=256",
            "10 %=layers=0,2 hidden=56 intermediate=224", "4 %=layers=0,2 hidden=24 intermediate=96"]
RECIPES = {"none": ["--alpha", "1"], "logits": ["--match", "logits"], "hidden": ["--match", "logits,hidden"],
           "searched": ["--match", "logits"]}
SEARCHED = ["--epochs", "--alpha", "--temperature", "--learning-rate"]
TITLES = {"none": "no distillation", "logits": "logits", "hidden": "logits + hidden", "searched": "searched"}


def t_cdf(t, freedom):
    """Student's distribution by Simpson's rule on its density."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    n = 2000
    step = abs(t) / n
    values = [scale * (1 + (i * step) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(n + 1)]
    half = step / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))
    return 0.5 + math.copysign(min(half, 0.5), t)


def welch(a, b):
    """Two-sided p-value that two samples have the same mean (Welch 1947); NaN where nothing varies."""
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    if va + vb == 0:
        return math.nan
    t = (statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(va + vb)
    freedom = (va + vb) ** 2 / (va ** 2 / (len(a) - 1) + vb ** 2 / (len(b) - 1))
    return 2 * (1 - t_cdf(abs(t), freedom))


class Students(kept.Runner):
    def __init__(self, options, rest):
        super().__init__(options.fettle, options.out)
        self.options, self.rest = options, rest

    def distill(self, name, rule, extra):
        o = self.options
        return self.call("distill", o.teacher, "--student", rule, "--data", o.train, "--eval", o.eval, "--force",
                         "--out", f"{o.out}/{name}", *kept.replaced(self.rest, extra[::2]), *extra)

    def accuracy(self, model):
        return self.call("eval", model, "--data", self.options.test, *kept.only(self.rest, kept.DATA_OPTIONS))["value"]

    def search(self, key, rule):
        def make():
            o = self.options
            found = self.call("distill", o.teacher, "--student", rule, "--data", o.train, "--eval", o.eval, "--force",
                              "--out", f"{o.out}/{key}-search", *kept.replaced(self.rest, SEARCHED),
                              "--search", str(o.trials), "--seed", "0", "--study", f"{o.out}/{key}.sqlite")
            self.forget(f"{key}.sqlite.work")
            best = next(trial for trial in found["trials"] if trial["number"] == found["best_trial"])
            return {"best": best["params"], "value": best["value"], "importance": found["importance"],
                    "states": [trial["state"] for trial in found["trials"]]}
        return self.kept(f"{key}-search", make)

    def run(self, key, rule, recipe, seed):
        name = f"{key}-{recipe}-{seed}"

        def make():
            extra = list(RECIPES[recipe])
            if recipe == "searched":
                for parameter, value in self.search(key, rule)["best"].items():
                    extra += ["--" + parameter.replace("_", "-"), str(value)]
            self.distill(name, rule, [*extra, "--seed", str(seed)])
            folder = f"{self.options.out}/{name}"
            model = self.call("inspect", folder)
            accuracy = self.accuracy(folder)
            self.forget(name)
            return {"accuracy": accuracy, "parameters": model["parameters"]}
        return self.kept(name, make)


def table(runner, results, students):
    o = runner.options
    teacher = runner.kept("teacher", lambda: {"accuracy": runner.accuracy(o.teacher),
                                              "parameters": runner.call("inspect", o.teacher)["parameters"]})
    print(f"Teacher: {teacher['parameters']:,} parameters, accuracy {100 * teacher['accuracy']:.2f} %.\n")
    print("| student | parameters | " + " | ".join(TITLES[recipe] for recipe in o.recipe) + " |")
    print("|" + "---|" * (2 + len(o.recipe)))
    for index, (name, _) in enumerate(students):
        groups = {recipe: [results[index, recipe, seed] for seed in range(o.seeds)] for recipe in o.recipe}
        samples = {recipe: [100 * run["accuracy"] for run in group] for recipe, group in groups.items()}
        cells = []
        for recipe, values in samples.items():
            cell = f"{statistics.fmean(values):.2f}"
            if o.seeds > 1:
                cell += f" ± {statistics.stdev(values):.2f}"
                if recipe != "none" and "none" in samples:
                    p = welch(values, samples["none"])
                    cell += " (p < 0.001)" if p < 0.001 else f" (p {p:.3f})"
            cells.append(cell)
        parameters = groups[o.recipe[0]][0]["parameters"]
        share = 100 * parameters / teacher["parameters"]
        print(f"| {name} | {parameters:,} ({share:.1f} %) | " + " | ".join(cells) + " |")
    if "searched" in o.recipe:
        print("\nFound by the search:")
        for index, (name, rule) in enumerate(students):
            found = runner.search(f"s{index}", rule)
            shares = ", ".join(f"{each['parameter']} {each['share']:.0%}" for each in found["importance"])
            values = ", ".join(f"{key} {value:.4g}" for key, value in found["best"].items())
            print(f"- {name}: {values}; {found['states'].count('pruned')} of {len(found['states'])} trials pruned; importance: {shares}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("out", "teacher", "train", "eval", "test"):
        parser.add_argument(name)
    parser.add_argument("--student", action="append", help="NAME=RULE")
    parser.add_argument("--recipe", action="append", choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--fettle", default="build/release/cli/fettle")
    options, rest = parser.parse_known_args()
    options.recipe = options.recipe or list(RECIPES)
    students = [student.split("=", 1) for student in options.student or STUDENTS]
    runner = Students(options, rest)
    # The largest students first; a search before the trainings that wait for it.
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        if "searched" in options.recipe:
            searches = [pool.submit(runner.search, f"s{i}", rule) for i, (_, rule) in enumerate(students)]
            for each in searches:
                each.result()
        keys = [(index, recipe, seed) for recipe in options.recipe for index in range(len(students)) for seed in range(options.seeds)]
        futures = {key: pool.submit(runner.run, f"s{key[0]}", students[key[0]][1], key[1], key[2]) for key in keys}
        results = {key: future.result() for key, future in futures.items()}
    table(runner, results, students)


if __name__ == "__main__":
    main()
