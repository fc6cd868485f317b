#!/usr/bin/python3
"""Tests of bench/peers: the driver with engines that do not compute, then the shortest real table.

    run_test.py PATH/TO/encoder_latency

Nothing is asserted of any time but that it is one. Exits with 77 when ONNX Runtime, node or python3-onnx is not here (and
what needs none of them passed).
"""
import argparse
import importlib.machinery
import importlib.util
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import cases  # noqa: E402
import contenders  # noqa: E402
import measure  # noqa: E402
import serve  # noqa: E402
import table  # noqa: E402
import worker  # noqa: E402

# An engine whose queries take a millisecond for each sequence of the longest batch, and that cannot do "buckets".
FAKE = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {here!r})
import serve
def times_ms(lengths, layout, queries):
    if layout == "buckets":
        raise ValueError("no buckets here")
    return [float(max(len(rows) for rows in serve.lay_out(lengths, layout)))] * queries
serve.serve({{"name": "fake", "version": "1"}}, times_ms)
"""


def fake_worker():
    return worker.Worker([sys.executable, "-c", FAKE.format(here=str(HERE))], 1)


class Driver(unittest.TestCase):
    def test_layouts_hand_over_every_sequence_once(self):
        lengths = list(cases.ragged()[1].lengths)
        for layout in contenders.LAYOUTS:
            batches = serve.lay_out(lengths, layout)
            self.assertEqual(sorted(i for rows in batches for i in rows), list(range(64)), layout)
        buckets = serve.lay_out(lengths, "buckets")
        self.assertEqual([len(rows) for rows in buckets], [8] * 8)
        for shorter, longer in zip(buckets, buckets[1:]):
            self.assertLessEqual(max(lengths[i] for i in shorter), min(lengths[i] for i in longer))

    def test_workloads_are_those_of_the_issue(self):
        short, long = cases.ragged()
        self.assertEqual((len(short.lengths), min(short.lengths), max(short.lengths), sum(short.lengths)), (64, 5, 23, 716))
        self.assertEqual((len(long.lengths), min(long.lengths), max(long.lengths), sum(long.lengths)), (64, 5, 256, 2874))

    def test_the_best_way_counts_and_what_fails_is_named(self):
        process = fake_worker()
        try:
            ways = [measure.Way(process, layout, layout) for layout in contenders.LAYOUTS]
            rounds = []
            cell = measure.measure({"fake": ways}, [5, 6, 7], 3, rounds.append)["fake"]
            self.assertEqual((cell.median_ms, cell.min_ms, cell.how), (1.0, 1.0, "single"))
            self.assertEqual(cell.samples, 3 * measure.TURN_QUERIES)
            self.assertEqual(rounds, [0, 1, 2])
            ways = [measure.Way(process, "buckets")]
            cell = measure.measure({"fake": ways}, [5], 3, rounds.append)["fake"]
            self.assertTrue(math.isnan(cell.median_ms))
            self.assertIn("no buckets here", cell.why)
        finally:
            process.close()

    def test_long_queries_are_timed_once_and_mere_padding_not_at_all(self):
        process = fake_worker()
        try:
            ways = [measure.Way(process, layout, layout) for layout in ["single", "padded"]]
            lengths = [1] * 60 + [10]  # padded: 610 tokens for 70
            self.assertEqual([way.layout for way in measure.without_padding(ways, lengths)], ["single"])
            self.assertEqual(len(measure.without_padding(ways, [9, 10])), 2)
            self.assertEqual(len(measure.without_padding(ways[1:], lengths)), 1)
            long_way = measure.Way(process, "padded")
            measure.ONE_TIME_MS, usual = 5, measure.ONE_TIME_MS
            cell = measure.measure({"fake": [long_way]}, lengths, 3, lambda _: None)["fake"]
            measure.ONE_TIME_MS = usual
            self.assertEqual((cell.samples, cell.median_ms), (1, 61.0))
        finally:
            process.close()

    def test_a_worker_that_does_not_start_says_why(self):
        with self.assertRaisesRegex(worker.WorkerError, "no model"):
            worker.Worker([sys.executable, "-c", "import sys; sys.exit('no model')"], 1)

    def test_limits(self):
        shape = cases.SHAPES["bert-base"]
        limits = {"bandwidth_gb_s": 10, "peak_gops": {"int8": 2000, "f32": 140}}
        # 84.9 million weights: 8.5 ms in int8; 128 tokens are bound by products, 2 · 128 · (77.9 + 1.2) million and attention.
        self.assertAlmostEqual(cases.limit_ms(shape, [12], "int8", limits), 8.49, places=2)
        self.assertAlmostEqual(cases.limit_ms(shape, [12], "f32", limits), 33.97, places=2)
        self.assertAlmostEqual(cases.limit_ms(shape, [128], "int8", limits), 10.40, delta=0.05)

    def test_one_table_of_targets(self):
        loader = importlib.machinery.SourceFileLoader("peers_run", str(HERE / "run"))
        run = importlib.util.module_from_spec(importlib.util.spec_from_loader("peers_run", loader))
        loader.exec_module(run)
        for thread_counts in [[1], [2], [1, 2]]:
            options = argparse.Namespace(threads=thread_counts, out=None, json=None)
            done = run.Run(options)
            for threads in thread_counts:
                for workload in [cases.single(12), cases.single(32)]:
                    done.results["bert-base", threads, "fettle int8", workload.name] = measure.Cell(6.0, 5.0, 10, 180.0, limit_ms=5.5)
                    done.results["bert-base", threads, "ort-int8", workload.name] = measure.Cell(12.0, 11.0, 10, 300.0)
                done.table(cases.SHAPES["bert-base"], threads, [cases.single(12), cases.single(32)], [contenders.FETTLE["int8"]])
                done.save()
            done.weights_mb["bert-base", "fettle int8"] = 140.0
            text = done.text()
            self.assertEqual(text.count("### Targets"), 1, text)
            lines = [line for line in text.splitlines() if line.startswith("| BERT-base")]
            self.assertEqual(len(lines), len(set(lines)), text)
            self.assertEqual(len([line for line in lines if "resident memory" in line]), len(thread_counts), text)

    def test_table_and_targets(self):
        rows = [contenders.FETTLE["int8"], contenders.PEERS["ort-int8"][0], contenders.PEERS["ctranslate2"][0]]
        results = {("fettle int8", "1x12"): measure.Cell(6.0, 5.0, 10, 180.0, limit_ms=5.5),
                   ("ort-int8", "1x12"): measure.Cell(12.0, 11.0, 10, 300.0, how="fused"),
                   ("ctranslate2", "1x12"): measure.Cell(why="not given")}
        text = "\n".join(table.section("BERT-base", 1, [cases.single(12)], rows, results))
        self.assertIn("| **fettle int8** | 5.00 / 6.00, limit 5.50 | 180 |", text)
        self.assertIn("| ONNX Runtime int8 | 11.0 / 12.0 (2.0×) fused | 300 |", text)
        self.assertIn("| CTranslate2 int8 | – | – |", text)
        self.assertIn("CTranslate2 int8: not given.", text)
        keyed = {("bert-base", 1, row, workload): cell for (row, workload), cell in results.items()}
        lines = table.targets(keyed, {("bert-base", "fettle int8"): 140.0})
        found = [line for line in lines if line.startswith("| BERT-base")]
        self.assertEqual(len(found), 3)
        self.assertTrue(found[0].endswith("| 1.8× | 2.00× (2.20×) | reached |"), found[0])
        self.assertTrue(found[1].endswith("| 1.09× (0.91×) | reached |"), found[1])
        self.assertTrue(found[2].endswith("| 180 MiB, +40 | **missed** |"), found[2])


class Quick(unittest.TestCase):
    def test_the_table_is_complete(self):
        with tempfile.TemporaryDirectory() as folder:
            raw, text = pathlib.Path(folder, "raw.json"), pathlib.Path(folder, "table.md")
            command = [HERE / "run", "--quick", "--rounds", "3", "--program", PROGRAM, "--json", raw, "--out", text]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout, text.read_text(encoding="utf-8"))
            cells = json.loads(raw.read_text(encoding="utf-8"))["cells"]
        self.assertEqual([cell["row"] for cell in cells], ["fettle int8", "ort-int8"])
        for cell in cells:
            for key in ["median_ms", "min_ms", "rss_mb"]:
                self.assertTrue(math.isfinite(cell[key]) and cell[key] > 0, (cell, done.stderr))
            self.assertEqual(cell["why"], "")
        for part in ["### BERT-base, one thread", "**fettle int8**", "ONNX Runtime int8", "### Targets", "bench/peers/run --quick"]:
            self.assertIn(part, done.stdout)


def missing():
    """What the real table would need; nothing is installed by a test."""
    if shutil.which("node") is None:
        return "node is not installed"
    if importlib.util.find_spec("onnx") is None:
        return "python3-onnx is not installed"
    if not any((folder / "node_modules" / "onnxruntime-node").exists() for folder in [contenders.ROOT, contenders.CACHE]):
        return "onnxruntime-node is not installed"
    return ""


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    PROGRAM = sys.argv.pop()
    why = missing()
    result = unittest.main(argv=sys.argv, exit=False, defaultTest=["Driver"] + ([] if why else ["Quick"])).result
    if not result.wasSuccessful():
        sys.exit(1)
    if why:
        print(f"skipped: {why}")
        sys.exit(77)
