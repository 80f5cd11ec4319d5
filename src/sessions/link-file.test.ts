/** What a link was found to do is there for the next session, and believed the less the older it is. */
import { strict as assert } from 'node:assert';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog } from '../base/mod.ts';
import { SimulatedClock } from '../testing/mod.ts';
import { LinkFile, linkFilePath } from './link-file.ts';

const dayMs = 24 * 60 * 60 * 1000;

function world(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'link-file-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = new SimulatedClock();
  const path = linkFilePath(join(directory, 'state'), 'nfs://[fd00::1]:2050/images')!;
  return { directory, clock, path, file: () => new LinkFile(path, { clock, log: silentLog }) };
}

test('what was kept is found by the next session, and fades', async (t) => {
  const { clock, path, file, directory } = world(t);
  assert.equal(file().load(), undefined);
  file().keep({ bytesPerMs: 12_500, roundTripMs: 300 });
  assert.deepEqual(file().load(), { bytesPerMs: 12_500, roundTripMs: 300 });
  assert.deepEqual(readdirSync(join(directory, 'state')), [path.slice(path.lastIndexOf('/') + 1)]);
  await clock.advance(7 * dayMs);
  assert.deepEqual(file().load(), { bytesPerMs: 6_250, roundTripMs: 300 });
  await clock.advance(54 * dayMs);
  assert.equal(file().load(), undefined);
});

test('a file that is not understood counts for nothing, and is replaced', (t) => {
  const { path, file } = world(t);
  file().keep({ bytesPerMs: 1, roundTripMs: 1 });
  const bad = ['', 'null', '{"version":2}', '{"version":1,"bytesPerMs":-1,"roundTripMs":1,"at":0}', '{"version":1'];
  for (const text of bad) {
    writeFileSync(path, text);
    assert.equal(file().load(), undefined, text);
  }
  file().keep({ bytesPerMs: Number.NaN, roundTripMs: 1 });
  assert.equal(file().load(), undefined);
  file().keep({ bytesPerMs: 2, roundTripMs: 3 });
  assert.equal(file().load()?.bytesPerMs, 2);
});

test('each server has its own, a directory none', () => {
  assert.equal(linkFilePath('/state', '/srv/images'), undefined);
  const paths = ['nfs://a/x', 'nfs://a/y', 'nfs://a:2050/x', 'nfs://b/x'].map((text) => linkFilePath('/state', text));
  assert.equal(new Set(paths).size, 3);
});
