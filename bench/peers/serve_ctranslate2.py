#!/usr/bin/python3
"""CTranslate2 as a worker of bench/peers/run (worker.py describes the protocol).

    serve_ctranslate2.py PATH FOLDER THREADS LAYERS HIDDEN HEADS INTERMEDIATE [--distilbert]

PATH is the folder that holds the Python package ctranslate2 (for this Python), FOLDER is where its models are kept. The
model is the encoder in int8 with random weights and a pooler; the classifier's one small product is left out. A batch is
handed over as it is: CTranslate2 takes the padding away by itself.
"""
import argparse
import pathlib
import sys
import tempfile

import numpy as np

import serve

VOCAB, POSITIONS = 30522, 512


def write_model(ctranslate2, shape, folder):
    """Through the package's own description of a BERT."""
    specs = ctranslate2.specs
    random = np.random.RandomState(0)

    def weight(rows, columns):
        return (random.standard_normal((rows, columns)) * 0.02).astype(np.float32)

    def set_linear(spec, n_in, n_out):
        spec.weight, spec.bias = weight(n_out, n_in), np.full(n_out, 0.01, np.float32)

    def set_norm(spec):
        spec.gamma, spec.beta = np.ones(shape.hidden, np.float32), np.zeros(shape.hidden, np.float32)

    common, transformer = specs.common_spec, specs.transformer_spec
    tables = {} if shape.distilbert else {"num_source_embeddings": 2, "embeddings_merge": common.EmbeddingsMerge.ADD}
    encoder = transformer.TransformerEncoderSpec(shape.layers, shape.heads, pre_norm=False, activation=common.Activation.GELU,
                                                 layernorm_embedding=True, **tables)
    activation = common.Activation.RELU if shape.distilbert else common.Activation.Tanh
    model = transformer.TransformerEncoderModelSpec(encoder, pooling_layer=True, pooling_activation=activation)
    encoder.scale_embeddings = False
    for rows, embeddings in zip([VOCAB, 2], encoder.embeddings):
        embeddings.weight = weight(rows, shape.hidden)
    encoder.position_encodings.encodings = weight(POSITIONS, shape.hidden)
    set_norm(encoder.layernorm_embedding)
    set_linear(model.pooler_dense, shape.hidden, shape.hidden)
    for layer in encoder.layer:
        set_linear(layer.self_attention.linear[0], shape.hidden, 3 * shape.hidden)
        set_linear(layer.self_attention.linear[1], shape.hidden, shape.hidden)
        set_norm(layer.self_attention.layer_norm)
        set_linear(layer.ffn.linear_0, shape.hidden, shape.intermediate)
        set_linear(layer.ffn.linear_1, shape.intermediate, shape.hidden)
        set_norm(layer.ffn.layer_norm)
    model.config.layer_norm_epsilon = 1e-12
    model.config.unk_token = "t0"
    model.register_vocabulary([f"t{i}" for i in range(VOCAB)])
    model.validate()
    model.optimize(quantization="int8")
    model.save(str(folder))


def cached_model(ctranslate2, shape):
    kind = "distilbert" if shape.distilbert else "bert"
    numbers = f"{shape.layers}-{shape.hidden}-{shape.heads}-{shape.intermediate}"
    target = pathlib.Path(shape.folder) / f"ctranslate2-{ctranslate2.__version__}-{kind}-{numbers}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = pathlib.Path(tempfile.mkdtemp(dir=target.parent))
        write_model(ctranslate2, shape, folder)
        folder.rename(target)
    return str(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("folder")
    for name in ["threads", "layers", "hidden", "heads", "intermediate"]:
        parser.add_argument(name, type=int)
    parser.add_argument("--distilbert", action="store_true")
    shape = parser.parse_args()
    sys.path.insert(0, shape.path)
    import ctranslate2  # noqa: E402  (its place is known only now)

    encoder = ctranslate2.Encoder(cached_model(ctranslate2, shape), device="cpu", compute_type="int8", inter_threads=1,
                                  intra_threads=shape.threads)
    random = np.random.RandomState(1)

    def times_ms(lengths, layout, queries):
        batches = []
        for rows in serve.lay_out(lengths, layout):
            ids = [random.randint(1, VOCAB, lengths[i]).tolist() for i in rows]
            types = None if shape.distilbert else [[0] * len(row) for row in ids]
            batches.append((ids, types))

        def query():
            for ids, types in batches:
                encoder.forward_batch(ids, token_type_ids=types)

        return serve.timed(query, queries)

    serve.serve({"name": "CTranslate2", "version": ctranslate2.__version__}, times_ms)


if __name__ == "__main__":
    main()
