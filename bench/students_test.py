#!/usr/bin/python3
"""students.py on a small scale: its statistics against published values, its table, and that a second run finds all done.

    students_test.py FETTLE ENCODER
"""
import math
import os
import re
import sys
import tempfile

import kept
import students
import tiny


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


def check_table(fettle, encoder):
    with tempfile.TemporaryDirectory() as folder:
        teacher, data = tiny.make(fettle, encoder, folder)
        arguments = [f"{folder}/out", teacher, data, data, data, "--student", "half=layers=1", "--student", "small=hidden=16", "--seeds",
                     "2", "--trials", "2", "--jobs", "2", "--epochs", "1", "--alpha", "0.3", "--learning-rate", "1e-3"]
        text = tiny.printed(students.main, *arguments, "--fettle", fettle)
        for name in ("half", "small"):
            assert re.search(rf"^\| {name} \| [\d,]+ \(\d+\.\d %\) \| \d+\.\d\d ± \d+\.\d\d \|( \d+\.\d\d ± \d+\.\d\d \(p .*?\) \|){{3}}$", text,
                             re.M), text
            assert re.search(rf"^- {name}: .*epochs \d+.*learning_rate", text, re.M), text
        tiny.check_done_once_is_done(students.main, text, f"{folder}/out", *arguments)


if __name__ == "__main__":
    check_statistics()
    check_options()
    check_table(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
