// One query through a BERT-shaped classifier: ours against ONNX Runtime, in one run, in turns.
//
//   node bench/compare_onnxruntime.mjs build/release/bench/encoder_latency [tokens] [threads] [int8|f32] [layers hidden]
//
// Needs `npm install --ignore-scripts` and python3-onnx. Both engines run on the same cores (taskset), each with the
// same number of threads, alternating every few queries, so that whatever else the machine does falls on both alike.
// Prints minimum and median of each and the ratio of the medians; exits with 1 when ours is slower.
import {execFileSync, spawn} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import * as ort from 'onnxruntime-node';

const kRounds = 40;
const kQueriesPerTurn = 5;
const kVocab = 30522;

const [program, tokens = '12', threads = '1', kind = 'int8', layers = '12', hidden = '768'] = process.argv.slice(2);
if (program === undefined) {
  console.error('usage: compare_onnxruntime.mjs PATH/TO/encoder_latency [tokens] [threads] [int8|f32] [layers hidden]');
  process.exit(2);
}

function pinToCores(pid) {
  const last = Number(threads) - 1;
  execFileSync('taskset', ['-a', '-p', '-c', `0-${last}`, String(pid)], {stdio: 'ignore'});
}

async function openPeer() {
  const folder = mkdtempSync(join(tmpdir(), 'fettle-onnx-'));
  try {
    const file = join(folder, 'bert.onnx');
    const script = join(dirname(fileURLToPath(import.meta.url)), 'make_onnx_bert.py');
    execFileSync('/usr/bin/python3', [script, file, kind, layers, hidden], {stdio: 'inherit'});
    return await ort.InferenceSession.create(file, {
      intraOpNumThreads: Number(threads),
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
    });
  } finally {
    rmSync(folder, {recursive: true});
  }
}

function peerQueries(session) {
  const n = Number(tokens);
  const int64 = (value) => new ort.Tensor('int64', BigInt64Array.from({length: n}, value), [1, n]);
  const feeds = {
    input_ids: int64(() => BigInt(1 + Math.floor(Math.random() * (kVocab - 1)))),
    attention_mask: int64(() => 1n),
    token_type_ids: int64(() => 0n),
  };
  return async (count) => {
    const times = [];
    for (let i = 0; i < count; ++i) {
      const start = process.hrtime.bigint();
      await session.run(feeds);
      times.push(Number(process.hrtime.bigint() - start) / 1e6);
    }
    return times;
  };
}

async function openOurs() {
  const child = spawn(program, [layers, hidden, tokens, threads, kind, '0', 'serve'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
  const {value} = await lines.next();
  if (value !== 'ready') throw new Error(`${program} did not start`);
  pinToCores(child.pid);
  const queries = async (count) => {
    child.stdin.write(`${count}\n`);
    const {value: answer} = await lines.next();
    return answer.trim().split(' ').map(Number);
  };
  return {queries, close: () => child.stdin.end()};
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const show = (name, times) =>
  console.log(`${name}: minimum ${Math.min(...times).toFixed(2)}, median ${median(times).toFixed(2)} ms`);

pinToCores(process.pid);
const peer = peerQueries(await openPeer());
const ours = await openOurs();
await peer(10);
await ours.queries(10);
const peerTimes = [];
const ourTimes = [];
for (let round = 0; round < kRounds; ++round) {
  // The first query of a turn finds the caches full of the other's weights: it warms up, for both.
  peerTimes.push(...(await peer(kQueriesPerTurn + 1)).slice(1));
  ourTimes.push(...(await ours.queries(kQueriesPerTurn + 1)).slice(1));
}
ours.close();
console.log(`${layers} layers of ${hidden}, ${kind}, ${tokens} tokens, ${threads} thread(s), in turns`);
show('fettle', ourTimes);
show('ONNX Runtime', peerTimes);
const ratio = median(peerTimes) / median(ourTimes);
console.log(`ONNX Runtime / fettle: ${ratio.toFixed(2)}`);
process.exitCode = ratio >= 1 ? 0 : 1;
