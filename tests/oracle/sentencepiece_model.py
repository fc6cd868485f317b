"""Trains a small Unigram model with SentencePiece's own library and encodes texts with it.

    sentencepiece_model.py OPTIONS.json MODEL ANSWERS.json

OPTIONS: {"sentences": [...], "texts": [...], "train": {options of the trainer}}. ANSWERS: one {"ids", "pieces", "begins"}
for each text; begins are code points of the text.
"""

import io
import json
import sys

import sentencepiece

with open(sys.argv[1], encoding="utf-8") as file:
    options = json.load(file)
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(options["sentences"]), model_writer=model, model_type="unigram", minloglevel=2,
    hard_vocab_limit=False, num_threads=1, **options["train"])
with open(sys.argv[2], "wb") as file:
    file.write(model.getvalue())

processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
answers = []
for text in options["texts"]:
    pieces = processor.encode(text, out_type="immutable_proto").pieces
    answers.append({"ids": [p.id for p in pieces], "pieces": [p.piece for p in pieces], "begins": [p.begin for p in pieces]})
with open(sys.argv[3], "w", encoding="utf-8") as file:
    json.dump(answers, file)
