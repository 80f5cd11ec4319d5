/** What is remembered of an origin stays whole, whatever the disk does. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLog } from '../base/mod.ts';
import { KeptLog } from '../testing/mod.ts';
import { OriginMemory, type RememberedOrigin } from './nfs-memory.ts';

const address = { kind: 'nfs', host: 'far', path: '/images' } as const;
const remembered: RememberedOrigin = {
  root: 'root',
  nfsPort: 2049,
  privilegedPort: false,
  fsid: 1n,
  fileid: 2n,
  info: {
    ...{ readMaximum: 1, readPreferred: 1, readMultiple: 1, writeMaximum: 1, writePreferred: 1, writeMultiple: 1 },
    ...{ readdirPreferred: 1, maximumFileBytes: 1, timeDelta: { seconds: 0, nanoseconds: 1 }, properties: 0 },
  },
};

test('a disk that takes only the beginning leaves the old memory as it was', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-memory-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const memory = new OriginMemory(directory, address, silentLog);
  memory.save(remembered);
  const before = memory.load();
  assert.equal(before?.root, 'root');
  // Some kilobytes, and a limit of half of one.
  const features = Array.from({ length: 60 }, (_, index) => `feature ${index} `.repeat(10));
  const hello = { version: 1, features, server: 's', start: 't' };
  const plain = { ...remembered, fsid: 1, fileid: 2, hello };
  const script = `
    import { OriginMemory } from ${JSON.stringify(fileURLToPath(new URL('nfs-memory.ts', import.meta.url)))};
    process.on('SIGXFSZ', () => {});
    const plain = ${JSON.stringify(plain)};
    const log = { warn: (fields) => console.log('WARN ' + fields.cause) };
    new OriginMemory(${JSON.stringify(directory)}, ${JSON.stringify(address)}, log).save({ ...plain, fsid: 1n, fileid: 2n });
    console.log('END');
  `;
  const node = [process.execPath, '--input-type=module', '-e', script];
  const ran = spawnSync('sh', ['-c', 'ulimit -f 1; exec "$@"', 'sh', ...node], { encoding: 'utf8', timeout: 30_000 });
  assert.match(ran.stdout, /WARN .*EFBIG[\s\S]*END/, ran.stderr);
  const log = new KeptLog();
  assert.deepEqual(new OriginMemory(directory, address, log).load(), before);
  assert.deepEqual(log.lines, []);
  assert.equal(readdirSync(directory).length, 1, 'nothing else is left');
});
