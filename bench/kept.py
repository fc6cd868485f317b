"""What the tables of bench/ share: calls of fettle, results that are kept so that a run that was stopped goes on, options passed on."""
import json
import os
import shutil
import subprocess

DATA_OPTIONS = ["--oos", "--oos-label", "--text-column", "--pair-column", "--label-column", "--label-order"]


def chosen(options, wanted):
    """The options whose names are wanted, each with its value if it has one."""
    kept = []
    keep = False
    for word in options:
        if word.startswith("--"):
            keep = wanted(word)
        if keep:
            kept.append(word)
    return kept


def replaced(options, names):
    return chosen(options, lambda name: name not in names)


def only(options, names):
    return chosen(options, lambda name: name in names)


class Runner:
    """Calls `program` on one thread; results by name in the folder `out`."""

    def __init__(self, program, out):
        self.program, self.out = program, out
        os.makedirs(out, exist_ok=True)

    def call(self, *command):
        return json.loads(subprocess.run([self.program, *command, "--threads", "1", "--quiet", "--json"], check=True,
                                         stdout=subprocess.PIPE).stdout)

    def kept(self, name, make):
        """What make() returns, from OUT/name.json if it is there."""
        path = f"{self.out}/{name}.json"
        if not os.path.exists(path):
            result = make()
            with open(path + ".new", "w") as file:
                json.dump(result, file)
            os.rename(path + ".new", path)
        with open(path) as file:
            return json.load(file)

    def forget(self, name):
        """Takes a model or a study's work away."""
        shutil.rmtree(f"{self.out}/{name}", ignore_errors=True)
