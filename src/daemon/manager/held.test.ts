/** Sockets that listen for sessions before these are open: clients wait in them, whatever becomes of the session. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { listenOn } from '../../native/mod.ts';
import { eventually } from '../../testing/mod.ts';
import { house, read } from './fixture.test.ts';
import type { HeldListeners } from './ground.ts';

interface HeldHere extends HeldListeners {
  /** Still open, and nobody's. */
  readonly left: ReadonlySet<string>;
  readonly closed: readonly string[];
}

function hold(places: readonly { readonly host: string; readonly port: number }[]): HeldHere {
  const held = new Map(places.map(({ host, port }) => [`${host}:${port}`, listenOn(host, port)]));
  for (const descriptor of held.values()) assert.ok(descriptor > 0);
  const left = new Set(held.keys());
  const closed: string[] = [];
  const close = (key: string): void => {
    closed.push(key);
    closeSync(held.get(key)!);
  };
  return {
    ...{ left, closed },
    take: (host, port) => {
      const key = `${host}:${port}`;
      if (!left.delete(key)) return undefined;
      return { address: { host, port, descriptor: held.get(key)! }, close: () => close(key) };
    },
    keep: (wanted) => {
      const keys = new Set(wanted.map(({ host, port }) => `${host}:${port}`));
      for (const key of [...left]) if (!keys.has(key) && left.delete(key)) close(key);
    },
  };
}

test('who comes before its session is open waits, and is served by it; other sockets are closed', async (t) => {
  const place = house(t);
  const first = await place.open();
  const view = await place.writer(first, 'vm');
  await first.stop();
  const gone = { host: view.place!.host, port: await freePort() };
  const listeners = hold([view.place!, gone]);
  const early = place.client(view);
  const second = await place.open({ begun: { threads: [], listeners } });
  await second.settled;
  assert.equal(await read(await early, 0, 5), 'image');
  assert.equal(second.list()[0]?.state, 'running');
  assert.deepEqual([...listeners.left], []);
  assert.deepEqual(
    listeners.closed.toSorted(),
    [`${gone.host}:${gone.port}`, `${view.place!.host}:${view.place!.port}`].toSorted(),
  );
  // Nobody but the session's own worker has it by now.
  await second.close('vm');
  const again = listenOn(view.place!.host, view.place!.port);
  assert.ok(again > 0, `it still listens: ${again}`);
  closeSync(again);
});

test('the socket of a session that cannot be opened is closed, and its next life listens itself', async (t) => {
  const place = house(t);
  const first = await place.open();
  const view = await place.writer(first, 'vm');
  await first.stop();
  const listeners = hold([view.place!]);
  let lives = 0;
  const second = await place.open({
    begun: { threads: [], listeners },
    // The first thread dies with the session in it.
    onWorker: (worker) => void (lives++ === 0 && worker.once('online', () => void worker.terminate())),
  });
  await second.settled;
  assert.equal(listeners.closed.length, 1);
  await eventually(() => second.list()[0]?.state === 'running', 'the session runs');
  const client = await place.client(view);
  assert.equal(await read(client, 0, 5), 'image');
  assert.ok(lives > 1);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
