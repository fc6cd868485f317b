"""Writes checkpoints with torch.save into the folder given, and beside each what a reader must find.

NAME.bin       the checkpoint
NAME.expected  one line per tensor: name, element type, shape, bytes in hexadecimal
NAME.refused   instead of that, a text that the error must contain
"""
import collections
import os
import sys
import warnings
import zipfile

import torch

warnings.filterwarnings("ignore")
folder = sys.argv[1]
torch.manual_seed(7)

NAMES = {torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64",
         torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool"}


def bytes_of(tensor):
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return tensor.numpy().tobytes()


def expected_lines(tensors):
    for name, tensor in tensors.items():
        if torch.is_tensor(tensor):
            shape = "x".join(map(str, tensor.shape)) or "scalar"
            yield f"{name} {NAMES[tensor.dtype]} {shape} {bytes_of(tensor).hex() or '-'}\n"


def save(name, value, tensors=None, **options):
    torch.save(value, os.path.join(folder, name + ".bin"), **options)
    with open(os.path.join(folder, name + ".expected"), "w") as file:
        file.writelines(expected_lines(value if tensors is None else tensors))


def save_refused(name, value, reason, **options):
    torch.save(value, os.path.join(folder, name + ".bin"), **options)
    with open(os.path.join(folder, name + ".refused"), "w") as file:
        file.write(reason)


def deflated(source, target):
    with zipfile.ZipFile(os.path.join(folder, source + ".bin")) as old:
        with zipfile.ZipFile(os.path.join(folder, target + ".bin"), "w", zipfile.ZIP_DEFLATED) as new:
            for item in old.infolist():
                new.writestr(item.filename, old.read(item))
    with open(os.path.join(folder, source + ".expected")) as old, open(os.path.join(folder, target + ".expected"), "w") as new:
        new.write(old.read())


def every_dtype():
    tensors = collections.OrderedDict()
    for dtype in NAMES:
        values = torch.randn(3, 5) * 50
        tensors["t." + NAMES[dtype]] = (values > 0) if dtype == torch.bool else values.to(dtype)
        tensors["scalar." + NAMES[dtype]] = tensors["t." + NAMES[dtype]][1, 2].clone()
        tensors["empty." + NAMES[dtype]] = torch.empty(4, 0, 2, dtype=dtype)
    return tensors


def every_stride():
    base = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
    half = torch.arange(40).half().reshape(5, 8)
    return collections.OrderedDict([
        ("contiguous", base), ("transposed", base.transpose(1, 3)), ("permuted", base.permute(3, 0, 2, 1)),
        ("row", base[1, 2]), ("stepped", base[:, ::2, 1::2, ::3]), ("one", base[:, 1:2, :, 4:5]),
        ("expanded", torch.tensor([1.5, 2.5]).reshape(2, 1).expand(2, 6)), ("expanded_scalar", torch.tensor(3.25).expand(4)),
        ("offset", half[2:4, 3:]), ("half_t", half.t()), ("bytes_t", torch.arange(12, dtype=torch.uint8).reshape(3, 4).t()),
        ("long_t", torch.arange(12).reshape(3, 4).t()), ("last", half[4, 7]), ("no_rows", base[2:])])


def shared():
    weight = torch.randn(6, 4)
    flat = torch.randn(30)
    return collections.OrderedDict([("embeddings.weight", weight), ("decoder.weight", weight), ("tail", weight[3:]),
                                    ("a", flat[:20].view(4, 5)), ("b", flat[10:].view(4, 5))])


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.register_buffer("position_ids", torch.arange(8).expand((1, -1)))


class Exploit:
    def __reduce__(self):
        return os.system, ("touch " + os.path.join(folder, "executed"),)


for layout in ("zip", "legacy"):
    options = {"_use_new_zipfile_serialization": layout == "zip"}
    for protocol in (2, 3, 4, 5):
        save(f"{layout}_protocol{protocol}", every_dtype(), pickle_protocol=protocol, **options)
    save(f"{layout}_strides", every_stride(), **options)
    save(f"{layout}_shared", shared(), **options)
    save(f"{layout}_module", Net().state_dict(), **options)
    parameters = {"weight": torch.nn.Parameter(torch.randn(3, 3)), "fixed": torch.nn.Parameter(torch.ones(2), requires_grad=False)}
    save(f"{layout}_parameters", parameters, **options)
    mixed = {"step": 12, "rate": 0.5, "name": "x", "flags": [True, None, (1, 2**70)], "weight": torch.ones(2)}
    save(f"{layout}_mixed", mixed, **options)
    inner = Net().state_dict()
    save(f"{layout}_nested", {"epoch": 3, "state_dict": inner}, inner, **options)
    save(f"{layout}_noncontiguous_storage_only", {"x": torch.arange(10.0)[3:7]}, **options)
    save_refused(f"{layout}_whole_module", Net(), "__main__.Net", **options)
    save_refused(f"{layout}_exploit", {"weight": torch.ones(2), "bad": Exploit()}, "posix.system", **options)
    save_refused(f"{layout}_sparse", {"weight": torch.eye(3).to_sparse()}, "_rebuild_sparse_tensor", **options)
    save_refused(f"{layout}_complex", {"weight": torch.zeros(2, dtype=torch.complex64)}, "ComplexFloatStorage", **options)
    save_refused(f"{layout}_list", [torch.ones(2)], "dictionary of tensors", **options)
    save_refused(f"{layout}_no_tensors", {"a": 1}, "no tensors", **options)
    save_refused(f"{layout}_numbered", {0: torch.ones(2)}, "not a text", **options)
    save_refused(f"{layout}_repeated", {"x": torch.ones(1).expand(1 << 26)}, "repeats its elements", **options)

deflated("zip_protocol2", "zip_deflated")
deflated("zip_shared", "zip_deflated_shared")
torch.jit.save(torch.jit.script(Net()), os.path.join(folder, "zip_script.bin"))
with open(os.path.join(folder, "zip_script.refused"), "w") as file:
    file.write("TorchScript")
