// ONNX Runtime as a worker of bench/peers/run (serve.py describes layouts, worker.py the protocol).
//
//   serve_onnxruntime.mjs FOLDER-WITH-NODE_MODULES MODEL.onnx THREADS
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';
import {createInterface} from 'node:readline';

const [folder, file, threads] = process.argv.slice(2);
const require = createRequire(join(folder, 'package.json'));
const ort = require('onnxruntime-node');
const kVocab = 30522;
const kBucket = 8;

const session = await ort.InferenceSession.create(file, {
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
});

function layOut(lengths, layout) {
  const all = [...lengths.keys()];
  if (layout === 'padded') return [all];
  if (layout === 'single') return all.map((i) => [i]);
  if (layout !== 'buckets') throw new Error(`layout ${layout} is unknown`);
  all.sort((a, b) => lengths[a] - lengths[b]);
  const buckets = [];
  for (let i = 0; i < all.length; i += kBucket) buckets.push(all.slice(i, i + kBucket));
  return buckets;
}

// One padded batch: the longest gives the width, the mask says what is real.
function feeds(lengths) {
  const shape = [lengths.length, Math.max(...lengths)];
  const fill = (value) => {
    const data = new BigInt64Array(shape[0] * shape[1]);
    lengths.forEach((length, row) => {
      for (let i = 0; i < length; ++i) data[row * shape[1] + i] = value();
    });
    return new ort.Tensor('int64', data, shape);
  };
  const values = {
    input_ids: () => BigInt(1 + Math.floor(Math.random() * (kVocab - 1))),
    attention_mask: () => 1n,
    token_type_ids: () => 0n,
  };
  return Object.fromEntries(session.inputNames.map((name) => [name, fill(values[name])]));
}

let prepared = {key: ''};
function prepare(lengths, layout) {
  const key = `${layout} ${lengths}`;
  if (prepared.key !== key) {
    const batches = layOut(lengths, layout).map((rows) => feeds(rows.map((i) => lengths[i])));
    prepared = {key, batches};
  }
  return prepared.batches;
}

async function timesMs({lengths, layout, queries}) {
  const batches = prepare(lengths, layout);
  const times = [];
  for (let i = 0; i < queries; ++i) {
    const start = process.hrtime.bigint();
    for (const batch of batches) await session.run(batch);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  return times;
}

const version = JSON.parse(readFileSync(require.resolve('onnxruntime-node/package.json'))).version;
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
print({name: 'ONNX Runtime', version});
for await (const line of createInterface({input: process.stdin})) {
  try {
    const ms = await timesMs(JSON.parse(line));
    print({ms, rss_mb: process.memoryUsage.rss() / 2 ** 20});
  } catch (error) {
    print({error: String(error)});
  }
}
