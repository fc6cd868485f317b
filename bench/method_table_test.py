#!/usr/bin/python3
"""method_table.py on a small scale: how rows are read, its table, and that a second run finds all done.

    method_table_test.py FETTLE ENCODER
"""
import glob
import os
import re
import sys
import tempfile

import method_table
import tiny

ROWS = """
# A comment.
teach = --data {train} --eval {eval} --epochs 1 --learning-rate 1e-3 --distill
heads 50 %: prune --method heads --target 50% {teach}  # and another
all: factorize --method svd --rank 4; prune --method vocabulary --data {train}; quantize --embeddings
"""


def check_rows(folder):
    path = f"{folder}/rows.txt"
    with open(path, "w") as file:
        file.write(ROWS)
    teach = "--data {train} --eval {eval} --epochs 1 --learning-rate 1e-3 --distill".split()
    assert method_table.read_rows(path) == [
        ("heads 50 %", [["prune", "--method", "heads", "--target", "50%", *teach]]),
        ("all", [["factorize", "--method", "svd", "--rank", "4"], ["prune", "--method", "vocabulary", "--data", "{train}"],
                 ["quantize", "--embeddings"]])]
    # Those of the project can be read, and no two rows of a file would be kept under one name.
    files = glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rows", "*.txt"))
    assert files
    for file in files:
        names = [method_table.safe(name) for name, _ in method_table.read_rows(file)]
        assert names and len(set(names)) == len(names), file
    return path


def check_table(fettle, encoder):
    with tempfile.TemporaryDirectory() as folder:
        rows = check_rows(folder)
        model, data = tiny.make(fettle, encoder, folder)
        arguments = [rows, f"{folder}/out", model, data, data, data, "--seeds", "2", "--rounds", "2", "--jobs", "2"]
        text = tiny.printed(method_table.main, *arguments, "--fettle", fettle)
        assert re.search(r"^\| the model \| \d+\.\d\d \| \d+\.\d{3} \| \d+\.\d{3} \| \d+\.\d\d \| \| \|$", text, re.M), text
        for name in ("heads 50 %", "all"):
            assert re.search(rf"^\| {name} \| \d+\.\d\d \|( \d+\.\d{{3}} \(\d+\.\d\d ×\) \|){{2}} \d+\.\d\d ± \d+\.\d\d \| [+-]\d+\.\d\d \| .+ \|$", text,
                             re.M), text
        assert "| all | `factorize --method svd --rank 4; prune --method vocabulary --data {train}; quantize --embeddings` |" in text, text
        tiny.check_done_once_is_done(method_table.main, text, f"{folder}/out", *arguments)


if __name__ == "__main__":
    check_table(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
