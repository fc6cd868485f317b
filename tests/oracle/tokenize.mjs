// Tokenizes with Hugging Face's own programs, for comparison.
//   node tokenize.mjs ENGINE TOKENIZER.json [OPTIONS] < requests > answers
// ENGINE: "tokenizers" (the Rust library, the definition of exact), "transformers" (transformers.js), "words": only
// BertNormalizer, with OPTIONS as its own, and BertPreTokenizer, without a file ("-"); "normalize": only the
// normalizer OPTIONS.kind ("nfc", "lowercase", …); or "train": a WordPiece vocabulary of at most 30,000 pieces is
// trained on the file, a text, and answers any request.
// OPTIONS: JSON {"max_length": N, "decode": "keep" | "skip"}. A request is a JSON line: a string, a pair of strings, or,
// with "decode", an array of ids (special tokens kept or skipped). An answer is a JSON line: {ids, type_ids, tokens,
// offsets} (transformers.js: ids only), a string, or an array of words.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [engine, path, optionText = '{}'] = process.argv.slice(2);
const options = JSON.parse(optionText);

function rustEngine() {
  const { Tokenizer } = createRequire(import.meta.url)('tokenizers');
  const tokenizer = Tokenizer.fromFile(path);
  tokenizer.disablePadding();
  if (options.max_length) tokenizer.setTruncation(options.max_length);
  else tokenizer.disableTruncation();
  if (options.decode) return (ids) => tokenizer.decode(ids, options.decode === 'skip');
  return async (request) => {
    const [first, second] = Array.isArray(request) ? request : [request, undefined];
    const e = await tokenizer.encode(first, second);
    return { ids: e.getIds(), type_ids: e.getTypeIds(), tokens: e.getTokens(), offsets: e.getOffsets() };
  };
}

function wordsEngine() {
  const tokenizers = createRequire(import.meta.url)('tokenizers');
  const normalizer = tokenizers.bertNormalizer(options);
  const splitter = tokenizers.bertPreTokenizer();
  return (text) => {
    const normalized = normalizer.normalizeString(text);
    return normalized ? splitter.preTokenizeString(normalized).map(([word]) => word) : [];
  };
}

function normalizeEngine() {
  const tokenizers = createRequire(import.meta.url)('tokenizers');
  const make = tokenizers[options.kind + 'Normalizer'] ?? tokenizers[options.kind];
  const normalizer = make();
  return (text) => normalizer.normalizeString(text);
}

function trainEngine() {
  const tokenizers = createRequire(import.meta.url)('tokenizers');
  const tokenizer = new tokenizers.Tokenizer(tokenizers.WordPiece.init({}, {}));
  tokenizer.setNormalizer(tokenizers.bertNormalizer());
  tokenizer.setPreTokenizer(tokenizers.bertPreTokenizer());
  tokenizer.train([path]);
  return () => Object.keys(tokenizer.getVocab());
}

async function scriptEngine() {
  const { PreTrainedTokenizer } = await import('@huggingface/transformers');
  const tokenizer = new PreTrainedTokenizer(JSON.parse(readFileSync(path, 'utf8')), {});
  if (options.decode) return (ids) => tokenizer.decode(ids, { skip_special_tokens: options.decode === 'skip' });
  return (request) => {
    const [first, second] = Array.isArray(request) ? request : [request, null];
    const limit = options.max_length ? { truncation: true, max_length: options.max_length } : {};
    const { input_ids } = tokenizer(first, { text_pair: second, return_tensor: false, ...limit });
    return { ids: input_ids };
  };
}

const engines = { tokenizers: rustEngine, transformers: scriptEngine, words: wordsEngine, normalize: normalizeEngine,
                  train: trainEngine };
const answer = await engines[engine]();
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + '\n');
}
