"""A model and data so small that the tables of bench/ can be tested on them."""
import contextlib
import io
import json
import os
import subprocess
import sys


def make(fettle, encoder, folder):
    """Writes FOLDER/data.jsonl and trains FOLDER/teacher on it; returns both paths."""
    data = f"{folder}/data.jsonl"
    with open(data, "w") as file:
        for i in range(40):
            for label, text in (("light", f"turn on the light number {i}"), ("music", f"play song {i} please"), ("time", f"what is the time in city {i}")):
                file.write(json.dumps({"text": text, "label": label}) + "\n")
    with open(f"{encoder}/config.json") as file:
        config = json.load(file)
    config.update(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    with open(f"{folder}/tiny.json", "w") as file:
        json.dump(config, file)
    subprocess.run([fettle, "train", "--init", f"{folder}/tiny.json", "--tokenizer", encoder, "--data", data, "--epochs", "2",
                    "--learning-rate", "3e-3", "--quiet", "--out", f"{folder}/teacher"], check=True)
    return f"{folder}/teacher", data


def printed(main, *arguments):
    """What a script's main() prints when it is called with those arguments."""
    sys.argv = ["script", *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main()
    return output.getvalue()


def check_done_once_is_done(main, text, out, *arguments):
    """A second run with a program that cannot do anything prints the same and changes nothing in `out`."""
    done = {name: os.stat(f"{out}/{name}").st_mtime_ns for name in os.listdir(out)}
    assert printed(main, *arguments, "--fettle", "/bin/false") == text
    assert done == {name: os.stat(f"{out}/{name}").st_mtime_ns for name in os.listdir(out)}
