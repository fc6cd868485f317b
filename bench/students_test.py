#!/usr/bin/python3
"""students.py on a small scale: its statistics against published values, its table, and that a second run finds all done.

    students_test.py FETTLE ENCODER
"""
import contextlib
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile

import kept
import students


def near(value, expected, tolerance):
    assert abs(value - expected) <= tolerance, f"{value} instead of {expected}"


def check_statistics():
    # Critical values of Student's distribution (any table of them).
    for freedom, t in ((1, 12.706), (4, 2.776), (10, 2.228), (30, 2.042)):
        near(students.t_cdf(t, freedom), 0.975, 2e-5)
        near(students.t_cdf(-t, freedom), 0.025, 2e-5)
    # Worked by hand: means 3 and 6, variances 2.5 and 2.5, n = 5: t = -3, freedom 8, p = 0.01707.
    near(students.welch([1, 2, 3, 4, 5], [4, 5, 6, 7, 8]), 0.01707, 1e-5)
    near(students.welch([1, 2, 3], [1, 2, 3]), 1, 1e-9)
    assert math.isnan(students.welch([1, 1], [2, 2]))


def check_options():
    options = ["--oos", "--epochs", "3", "--label-column", "intent", "--alpha", "0.5"]
    assert kept.replaced(options, ["--epochs", "--alpha"]) == ["--oos", "--label-column", "intent"]
    assert kept.only(options, kept.DATA_OPTIONS) == ["--oos", "--label-column", "intent"]


def run(fettle, encoder, folder):
    with open(f"{folder}/data.jsonl", "w") as file:
        for i in range(40):
            for label, text in (("light", f"turn on the light number {i}"), ("music", f"play song {i} please"), ("time", f"what is the time in city {i}")):
                file.write(json.dumps({"text": text, "label": label}) + "\n")
    with open(f"{encoder}/config.json") as file:
        config = json.load(file)
    config.update(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    with open(f"{folder}/tiny.json", "w") as file:
        json.dump(config, file)
    data = f"{folder}/data.jsonl"
    subprocess.run([fettle, "train", "--init", f"{folder}/tiny.json", "--tokenizer", encoder, "--data", data, "--epochs", "2",
                    "--learning-rate", "3e-3", "--quiet", "--out", f"{folder}/teacher"], check=True)
    sys.argv = ["students.py", f"{folder}/out", f"{folder}/teacher", data, data, data, "--fettle", fettle, "--student", "half=layers=1",
                "--student", "small=hidden=16", "--seeds", "2", "--trials", "2", "--jobs", "2", "--epochs", "1", "--alpha", "0.3",
                "--learning-rate", "1e-3"]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        students.main()
    return output.getvalue()


def check_table(fettle, encoder):
    with tempfile.TemporaryDirectory() as folder:
        text = run(fettle, encoder, folder)
        for name in ("half", "small"):
            assert re.search(rf"^\| {name} \| [\d,]+ \(\d+\.\d %\) \| \d+\.\d\d ± \d+\.\d\d \|( \d+\.\d\d ± \d+\.\d\d \(p .*?\) \|){{3}}$", text,
                             re.M), text
            assert re.search(rf"^- {name}: .*epochs \d+.*learning_rate", text, re.M), text
        # Done once is done: a program that cannot do anything is never called.
        done = {name: os.stat(f"{folder}/out/{name}").st_mtime_ns for name in os.listdir(f"{folder}/out")}
        sys.argv[sys.argv.index("--fettle") + 1] = "/bin/false"
        again = io.StringIO()
        with contextlib.redirect_stdout(again):
            students.main()
        assert again.getvalue() == text
        assert done == {name: os.stat(f"{folder}/out/{name}").st_mtime_ns for name in os.listdir(f"{folder}/out")}


if __name__ == "__main__":
    check_statistics()
    check_options()
    check_table(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
