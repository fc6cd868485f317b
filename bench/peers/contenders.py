"""The rows of the table: fettle in its formats, and the peers; how each is started."""
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess

import worker

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / "build" / "peers"
PYTHON = "/usr/bin/python3"  # the one that Debian's python3-torch and python3-onnx belong to
LAYOUTS = ["single", "buckets", "padded"]


class Missing(Exception):
    """Why a row cannot be measured here."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table: `open(options, shape, threads)` starts {label: Worker}, its variants."""
    name: str     # as in --peers, or "fettle int8"
    title: str
    format: str   # compared with fettle in this format
    open: object
    layouts: tuple = tuple(LAYOUTS)

    @property
    def is_ours(self):
        return self.name.startswith("fettle")


def fettle_command(options, shape, threads, form, *more):
    command = [options.program, shape.layers, shape.hidden, 12, threads, form, 1, "--heads", shape.heads,
               "--intermediate", shape.intermediate, "--serve", *more]
    return command + (["--distilbert"] if shape.distilbert else [])


def open_fettle(form, *more):
    def start(options, shape, threads):
        return {"": worker.Worker(fettle_command(options, shape, threads, form, *more), threads)}
    return start


def node_folder():
    """A folder whose node_modules has onnxruntime-node: the tree's own, else one in build/peers."""
    wanted = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]["onnxruntime-node"]
    for folder in [ROOT, CACHE]:
        if (folder / "node_modules" / "onnxruntime-node" / "package.json").exists():
            return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", CACHE,
               f"onnxruntime-node@{wanted}"]
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing("onnxruntime-node is not installed (npm install --ignore-scripts)") from error
    return CACHE


def cached(script, suffix, arguments):
    """The model that a script writes, made once for each text of the script."""
    digest = hashlib.sha256(script.read_bytes()).hexdigest()[:8]
    path = CACHE / "models" / ("-".join(str(a).strip("-") for a in arguments) + f"-{digest}{suffix}")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([PYTHON, script, path, *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing((done.stderr.strip().splitlines() or ["failed"])[-1])
    return path


def open_onnxruntime(form):
    def start(options, shape, threads):
        folder = node_folder()
        workers = {}
        for label, kind in [("plain", form), ("fused", form + "-fused")]:
            more = ["--distilbert"] if shape.distilbert else []
            model = cached(HERE / "make_onnx.py", ".onnx", [kind, *shape.numbers(), *more])
            workers[label] = worker.Worker(["node", HERE / "serve_onnxruntime.mjs", folder, model, threads], threads)
        return workers
    return start


def open_torch(kind):
    def start(options, shape, threads):
        more = ["--distilbert"] if shape.distilbert else []
        command = [PYTHON, HERE / "serve_torch.py", kind, threads, *shape.numbers(), *more]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
        return {"": worker.Worker(command, threads, environment)}
    return start


def open_llama_cpp(kind):
    def start(options, shape, threads):
        if not options.llama_cpp:
            raise Missing("not given (--llama-cpp)")
        model = cached(HERE / "make_gguf.py", ".gguf", [kind, *shape.numbers()])
        return {"": worker.Worker([PYTHON, HERE / "serve_llama_cpp.py", options.llama_cpp, model, threads], threads)}
    return start


def open_ctranslate2(options, shape, threads):
    if not options.ctranslate2:
        raise Missing("not given (--ctranslate2)")
    more = ["--distilbert"] if shape.distilbert else []
    command = [PYTHON, HERE / "serve_ctranslate2.py", options.ctranslate2, CACHE / "models", threads, *shape.numbers(), *more]
    return {"": worker.Worker(command, threads)}


FETTLE = {name: Row(f"fettle {name}", f"**fettle {name}**", name, open_fettle(name), ("ragged",))
          for name in ["f32", "bf16", "int8", "int4"]}
# The graph op by op over padded batches: what a plain framework does.
SLOW = Row("slow-f32", "fettle f32 op by op over padding", "f32", open_fettle("f32", "--slow"), ("padded",))

PEERS = {
    "ort-int8": [Row("ort-int8", "ONNX Runtime int8", "int8", open_onnxruntime("int8"))],
    "ort-f32": [Row("ort-f32", "ONNX Runtime f32", "f32", open_onnxruntime("f32"))],
    "torch": [Row("torch", "PyTorch eager f32", "f32", open_torch("eager"))],
    "torch-fast": [Row("torch-fast", "PyTorch fast path f32", "f32", open_torch("fast"))],
    "torch-fast-nested": [Row("torch-fast-nested", "PyTorch fast path f32, nested", "f32", open_torch("nested"),
                              ("buckets", "padded"))],
    "torch-bf16": [Row("torch-bf16", "PyTorch eager bf16", "bf16", open_torch("bf16"))],
    "torch-int8": [Row("torch-int8", "PyTorch dynamic int8", "int8", open_torch("int8"))],
    "llama.cpp": [Row("llama.cpp-q8_0", "llama.cpp Q8_0", "int8", open_llama_cpp("q8_0"), ("padded",)),
                  Row("llama.cpp-q4_0", "llama.cpp Q4_0", "int4", open_llama_cpp("q4_0"), ("padded",))],
    "ctranslate2": [Row("ctranslate2", "CTranslate2 int8", "int8", open_ctranslate2)],
}
