"""One engine in a process of its own, pinned to cores, that works only when it is asked to.

The protocol is lines of JSON. The worker starts with one object (what it likes to say of itself: "version",
"weights_mb"). Then each request

    {"lengths": [12], "layout": "padded", "queries": 5}

(tokens of each sequence of one query; how to lay them out: "ragged", "padded", "buckets", "single") is answered with
the milliseconds of each query, {"ms": [...], "rss_mb": ...}, or with {"error": "..."}. fettle's worker also answers
{"limits": 1} with what the machine can do at that moment, {"bandwidth_gb_s": ..., "peak_gops": {"int8": ...}}.
"""
import json
import os
import subprocess
import tempfile


class WorkerError(Exception):
    """A worker did not start, ended, or could not do what it was asked."""


class Worker:
    def __init__(self, command, n_threads, environment=None):
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:n_threads]))
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(["taskset", "-c", cores, *map(str, command)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.said, text=True, env=environment)
        self.rss_mb = float("nan")
        try:
            self.hello = self._read()
        except WorkerError:
            self.close()
            raise

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.said.seek(0)
            said = self.said.read().strip().splitlines()
            raise WorkerError(said[-1] if said else f"ended with {self.process.returncode}")
        try:
            return json.loads(line)
        except ValueError as error:
            raise WorkerError(f"said {line.strip()!r}") from error

    def ask(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError("ended") from error
        reply = self._read()
        if "error" in reply:
            raise WorkerError(reply["error"])
        self.rss_mb = reply.get("rss_mb", self.rss_mb)
        return reply

    def times_ms(self, lengths, layout, queries):
        return self.ask({"lengths": lengths, "layout": layout, "queries": queries})["ms"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.said.close()
