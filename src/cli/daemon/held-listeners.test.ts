import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { HeldListeners, notePlaces } from './held-listeners.ts';

function runtime(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-held-'));
  const before = process.env.VIADUCT_RUNTIME_DIR;
  process.env.VIADUCT_RUNTIME_DIR = directory;
  t.after(() => {
    if (before === undefined) delete process.env.VIADUCT_RUNTIME_DIR;
    else process.env.VIADUCT_RUNTIME_DIR = before;
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

async function listen(port: number): Promise<{ port: number; close(): Promise<unknown> }> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { port: address.port, close: () => new Promise((resolve) => server.close(resolve)) };
}

test('what was noted is listened on, once taken, or free again when it is not kept; a place that is taken is passed over', async (t) => {
  runtime(t);
  const [kept, dropped, foreign] = [await listen(0), await listen(0), await listen(0)];
  const host = '127.0.0.1';
  notePlaces([kept, dropped, foreign].map(({ port }) => ({ host, port })));
  await kept.close();
  await dropped.close();
  const held = HeldListeners.open();
  assert.equal(held.take(host, foreign.port), undefined);
  await assert.rejects(listen(kept.port), { code: 'EADDRINUSE' });
  held.keep([{ host, port: kept.port }]);
  await (await listen(dropped.port)).close();
  const taken = held.take(host, kept.port);
  assert.ok(taken !== undefined);
  assert.equal(held.take(host, kept.port), undefined);
  taken.close();
  await (await listen(kept.port)).close();
  await foreign.close();
});

test('notes that are missing, broken or of something else are no notes', (t) => {
  const directory = runtime(t);
  assert.equal(HeldListeners.open().take('127.0.0.1', 1), undefined);
  for (const text of ['', '{', '{}', '[1, null, {"host": 1, "port": 2}, {"host": "x", "port": 70000}]']) {
    writeFileSync(join(directory, 'listening.json'), text);
    assert.equal(HeldListeners.open().take('x', 70000), undefined);
  }
});
