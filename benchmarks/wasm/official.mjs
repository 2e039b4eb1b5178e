// One measurement of the official encoder: node official.mjs FILE SHARDS REPEATS; prints one JSON object.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { BlobEncoder } = createRequire(import.meta.url)('@mysten/walrus-wasm');
const [path, shards, repeats] = process.argv.slice(2);
const data = new Uint8Array(readFileSync(path));
new BlobEncoder(10).compute_metadata(new Uint8Array(1));
const encoder = new BlobEncoder(Number(shards));
const runs = [];
let name;
for (let i = 0; i < Number(repeats); i++) {
  const before = process.cpuUsage();
  const start = performance.now();
  [name] = encoder.compute_metadata(data);
  const spent = process.cpuUsage(before);
  runs.push([(performance.now() - start) / 1e3, (spent.user + spent.system) / 1e6]);
}
const blobId = Buffer.from(name).toString('base64url');
console.log(JSON.stringify({ blob_id: blobId, runs, rss_bytes: process.resourceUsage().maxRSS * 1024 }));
