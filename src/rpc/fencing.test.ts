/** The fencing token in the verifier: from the client's calls to the program, and what is refused. */
import { strict as assert } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { credential } from '../vfs/mod.ts';
import { XdrReader, XdrWriter } from '../xdr/mod.ts';
import { CredentialReader, encodeSysAuth } from './auth.ts';
import { RpcClient } from './client.ts';
import { authStatus } from './message.ts';
import type { Procedure, RpcCall } from './procedure.ts';
import { RpcServer } from './server.ts';

const me = credential(7, 8, [9]);
const token = '\x00\x01\xff\x80AB\x00\x09';
const program = { program: 0x2000_0077, version: 1 };
const ask: Procedure<void, string> = {
  number: 1,
  name: 'ASK',
  idempotent: true,
  arguments: { encode() {}, decode() {} },
  reply: { encode: (writer, value) => writer.binaryString(value), decode: (reader) => reader.binaryString(64) },
};

async function serve(t: TestContext, answer: (call: RpcCall) => string | Promise<string>): Promise<number> {
  const served = { ...program, name: 'test', procedures: [undefined, { procedure: ask, handle: answer }] };
  const server = new RpcServer({ programs: [served], clock: systemClock, log: silentLog });
  t.after(() => server.close());
  return (await server.listen('127.0.0.1', 0)).port;
}

function client(t: TestContext, port: number): RpcClient {
  const made = new RpcClient({ host: '127.0.0.1', port, clock: systemClock, log: silentLog, random: seededRandom(3) });
  t.after(() => made.close());
  return made;
}

test('a client sends the token that it was given last, and none before and after', async (t) => {
  const caller = client(t, await serve(t, (call) => call.fencing ?? 'none'));
  const asked = () => caller.call(program, ask, undefined, { credential: me });
  assert.equal(await asked(), 'none');
  caller.setFencing(token);
  assert.equal(await asked(), token);
  caller.setFencing('\xff'.repeat(8));
  assert.equal(await asked(), '\xff'.repeat(8));
  caller.setFencing(undefined);
  assert.equal(await asked(), 'none');
});

test('one connection’s call without a token does not inherit that of the call before it', () => {
  const reader = new CredentialReader(() => true);
  const read = (bytes: Buffer) => reader.read(new XdrReader([bytes]));
  assert.equal(read(encodeSysAuth(me, 'host', token)), authStatus.ok);
  assert.equal(reader.fencing, token);
  assert.equal(read(encodeSysAuth(me, 'host')), authStatus.ok);
  assert.equal(reader.fencing, undefined);
});

test('a verifier of another flavor, or a token of another length, is refused', () => {
  const reader = new CredentialReader(() => true);
  const status = (flavor: number, body: string): number => {
    const writer = new XdrWriter();
    writer.raw(encodeSysAuth(me, 'host').subarray(0, -8));
    writer.uint32(flavor);
    writer.binaryString(body);
    return reader.read(new XdrReader([Buffer.concat(writer.take())]));
  };
  assert.equal(status(0, ''), authStatus.ok);
  assert.equal(status(0x5644_5543, token), authStatus.ok);
  for (const length of [0, 4, 7, 9, 16, 400]) {
    assert.equal(status(0x5644_5543, 'x'.repeat(length)), authStatus.badVerifier, `${length} bytes`);
  }
  for (const flavor of [1, 2, 6, 7, 0x5644_5544]) assert.equal(status(flavor, token), authStatus.badVerifier);
  assert.equal(status(0, token), authStatus.badVerifier);
});
