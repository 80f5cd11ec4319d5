/** The call that each connection of a client begins with, and what programs note of the connection by it. */
import { strict as assert } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { seededRandom, silentLog, sleep, systemClock } from '../base/mod.ts';
import { credential } from '../vfs/mod.ts';
import { RpcClient } from './client.ts';
import type { Procedure, RpcCall } from './procedure.ts';
import { RpcServer } from './server.ts';

const me = credential(7, 8, [9]);
const program = { program: 0x2000_0077, version: 1 };
const host = '127.0.0.1';

function procedure(number: number, name: string): Procedure<void, boolean> {
  const nothing = { encode() {}, decode() {} };
  const reply = { encode: (writer, value) => writer.bool(value), decode: (reader) => reader.bool() } as Procedure<
    void,
    boolean
  >['reply'];
  return { number, name, idempotent: true, arguments: nothing, reply };
}
const ask = procedure(1, 'ASK');
const greet = procedure(2, 'GREET');
const greeting = { program, procedure: greet, args: undefined, credential: me };

/** ASK tells whether its connection has been greeted; after `holdBack` only when what that returned is called. */
async function serve(t: TestContext, port = 0) {
  const greeted: string[] = [];
  const peers = new Set<string>();
  let hold: Promise<void> | undefined;
  const answer = (call: RpcCall): boolean | Promise<boolean> => {
    peers.add(call.peer);
    const isKnown = call.notes?.isViaduct === true;
    return hold === undefined ? isKnown : hold.then(() => isKnown);
  };
  const note = (call: RpcCall): boolean => {
    greeted.push(call.peer);
    call.notes!.isViaduct = true;
    return true;
  };
  const served = [undefined, { procedure: ask, handle: answer }, { procedure: greet, handle: note }];
  const server = new RpcServer({
    programs: [{ ...program, name: 'test', procedures: served }],
    clock: systemClock,
    log: silentLog,
  });
  t.after(() => server.close(0));
  const address = await server.listen(host, port);
  const holdBack = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = promise;
    return resolve;
  };
  return { server, port: address.port, greeted, peers, holdBack };
}

function client(t: TestContext, port: number, connections: number): RpcClient {
  const made = new RpcClient({ host, port, connections, clock: systemClock, log: silentLog, random: seededRandom(3) });
  t.after(() => made.close());
  return made;
}

test('each connection begins with the greeting, before the calls that opened it', async (t) => {
  const { port, greeted, peers, holdBack } = await serve(t);
  const caller = client(t, port, 4);
  caller.setGreeting(greeting);
  const release = holdBack();
  const replies: Promise<boolean>[] = [];
  for (let i = 0; i < 64; i++) replies.push(caller.call(program, ask, undefined, { credential: me }));
  while (peers.size < 4) {
    replies.push(caller.call(program, ask, undefined, { credential: me }));
    await sleep(systemClock, 5);
  }
  release();
  for (const known of await Promise.all(replies)) assert.equal(known, true);
  assert.deepEqual([...greeted].sort(), [...peers].sort());
});

test('open connections are greeted when the greeting is set, and nothing is greeted once it is taken back', async (t) => {
  const first = await serve(t);
  const caller = client(t, first.port, 1);
  const asked = () => caller.call(program, ask, undefined, { credential: me });
  assert.equal(await asked(), false);
  caller.setGreeting(greeting);
  assert.equal(await asked(), true);
  await first.server.close(0);
  const second = await serve(t, first.port);
  assert.equal(await asked(), true);
  assert.equal(second.greeted.length, 1);
  caller.setGreeting(undefined);
  await second.server.close(0);
  const third = await serve(t, first.port);
  assert.equal(await asked(), false);
  assert.equal(third.greeted.length, 0);
});

test('what is noted of one connection is not noted of another', async (t) => {
  const { port } = await serve(t);
  const [one, two] = [client(t, port, 1), client(t, port, 1)];
  one.setGreeting(greeting);
  assert.equal(await one.call(program, ask, undefined, { credential: me }), true);
  assert.equal(await two.call(program, ask, undefined, { credential: me }), false);
});

test('a server that does not know the program of the greeting serves on', async (t) => {
  const { port } = await serve(t);
  const caller = client(t, port, 1);
  caller.setGreeting({ ...greeting, program: { program: 0x2000_0078, version: 1 } });
  assert.equal(await caller.call(program, ask, undefined, { credential: me }), false);
  assert.equal(caller.stats().reconnects, 0);
});
