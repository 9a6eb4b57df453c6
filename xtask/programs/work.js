// Objects, maps, buffers, JSON, compression and worker threads.
const crypto = require('crypto');
const zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

function numbers(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % limit;
  };
}

function work(seed) {
  const number = numbers(seed);
  const digest = crypto.createHash('sha256');
  for (let turn = 0; turn < 3; turn++) {
    const index = new Map();
    for (let i = 0; i < 40000; i++) {
      const key = 'k' + number(5000);
      if (!index.has(key)) index.set(key, []);
      index.get(key).push({ i, text: key.repeat(1 + number(6)) });
    }
    const text = JSON.stringify([...index].sort(([a], [b]) => (a < b ? -1 : 1)));
    const packed = zlib.deflateSync(Buffer.from(text), { level: 3 });
    digest.update(zlib.inflateSync(packed));
    const buffers = [];
    for (let i = 0; i < 8000; i++) buffers.push(Buffer.alloc(16 + number(12000), i & 255));
    digest.update(Buffer.concat(buffers.filter((_, i) => i % 7 === 0)));
  }
  return digest.digest('hex');
}

if (isMainThread) {
  console.log('main', work(99));
  const seeds = [1, 2];
  Promise.all(seeds.map((seed) => new Promise((resolve, reject) => {
    new Worker(__filename, { workerData: seed }).on('message', resolve).on('error', reject);
  }))).then((results) => results.forEach((result, i) => console.log('worker', seeds[i], result)));
} else {
  parentPort.postMessage(work(workerData));
}
