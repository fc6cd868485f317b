#!/usr/bin/python3
"""llama.cpp as a worker of bench/peers/run (worker.py describes the protocol).

    serve_llama_cpp.py PATH MODEL.gguf THREADS

PATH is llama-bench or a folder with it (at the top, in bin/ or in build/bin/). Each request is one run of it, which loads
the model and warms up by itself and times the queries alone. It knows no batches of sequences: only single ones.
"""
import json
import pathlib
import resource
import subprocess
import sys

import serve


def find_program(path):
    for candidate in [path, path / "llama-bench", path / "bin" / "llama-bench", path / "build" / "bin" / "llama-bench"]:
        if candidate.is_file():
            return candidate
    sys.exit(f"llama-bench is not in {path}")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program = find_program(pathlib.Path(sys.argv[1]))
    model, threads = sys.argv[2:]

    def run(tokens, queries):
        command = [program, "-m", model, "-p", str(tokens), "-n", "0", "-r", str(queries), "-t", threads, "-embd", "1", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1])
        return json.loads(done.stdout)[0]

    def times_ms(lengths, layout, queries):
        if len(lengths) != 1:
            raise ValueError("llama-bench knows no batches of sequences")
        return [ns / 1e6 for ns in run(lengths[0], queries)["samples_ns"]]

    def peak_mb():
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024

    first = run(1, 1)
    serve.serve({"name": "llama.cpp", "version": f"{first.get('build_number', '')} ({first.get('build_commit', '')})"}, times_ms,
                peak_mb)


if __name__ == "__main__":
    main()
