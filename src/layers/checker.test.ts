import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { AssertionError, type Log, silentLog } from '../base/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, pattern, SimulatedClock } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { Checker } from './checker.ts';

const root = callBy(vfs.credential(0, 0));

function setup(strict: boolean, log: Log = silentLog) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const where = { directory: memory.root, name: 'a' };
  const object = ok(memory.create(root, { where, how: { mode: 'guarded', set: {} } })).object!;
  ok(memory.write(root, { object, offset: 0, count: 100, stable: 2, data: [pattern(100)] }));
  const faults = new FaultLayer(memory);
  return { clock, faults, object, checker: new Checker(faults, { name: 'a>b', clock, log, strict }) };
}

const attributes = ok(new MemoryFilesystem().getattr(root, { object: new MemoryFilesystem().root })).attributes;

test('replies that break the contract are caught', async () => {
  const read = { status: 0, data: [pattern(4)], count: 4, eof: false } as const;
  const cases: [vfs.OperationName, object, object, RegExp][] = [
    ['getattr', {}, { status: 4711 }, /status 4711/],
    ['getattr', {}, { status: 0, attributes: { ...attributes, size: 1.5 } }, /size is 1.5/],
    ['getattr', {}, { status: 0, attributes: { ...attributes, type: 9 } }, /type is 9/],
    ['lookup', { name: 'a' }, { status: 0, object: 'x'.repeat(65) }, /65 bytes/],
    ['lookup', { name: 'a' }, { status: 0, object: '' }, /handle is empty/],
    ['access', { access: 1 }, { status: 0, access: 3 }, /not asked for/],
    ['read', { count: 10 }, { ...read, count: 5 }, /count is 5 and the slices hold 4/],
    ['read', { count: 2 }, read, /4 bytes were answered and 2 asked for/],
    ['read', { count: 10 }, { ...read, data: [], count: 0 }, /no end of file/],
    ['read', { count: 10 }, { ...read, attributes: { ...attributes, size: 4 } }, /eof is false at 4 of 4/],
    ['read', { count: 10 }, { ...read, attributes: { ...attributes, size: 3 } }, /of a file of 3/],
    ['write', { stable: 2 }, { status: 0, wcc: {}, count: 4, committed: 1, verifier: '12345678' }, /committed is 1/],
    ['write', { stable: 0 }, { status: 0, wcc: {}, count: 4, committed: 0, verifier: '1' }, /verifier has 1 bytes/],
    [
      'write',
      { stable: 0 },
      { status: 0, wcc: {}, count: 5, committed: 0, verifier: '12345678' },
      /5 bytes were taken/,
    ],
    ['readdir', {}, { status: 0, entries: [], eof: false, cookieVerifier: '12345678' }, /no entries/],
    ['commit', { count: 0 }, { status: 0, wcc: {}, verifier: '' }, /verifier/],
  ];
  for (const [operation, args, reply, expected] of cases) {
    const { faults, checker, object } = setup(true);
    faults.on(operation, (() => reply) as never);
    const base = { object, directory: object, offset: 0, count: 4, data: [pattern(4)], cookie: 0n };
    const call = checker[operation] as (call: vfs.Call, args: unknown) => unknown;
    const complete = { ...base, cookieVerifier: '\0'.repeat(8), ...args };
    await assert.rejects(
      async () => call.call(checker, root, complete),
      (error) => {
        assert(error instanceof AssertionError, String(error));
        assert.match(error.message, expected);
        return true;
      },
    );
  }
});

test('arguments that break the contract are caught before the next layer sees them', async () => {
  const { faults, checker, object } = setup(true);
  const bad: [() => unknown, RegExp][] = [
    [() => checker.getattr(root, { object: '' }), /handle is empty/],
    [() => checker.lookup(root, { directory: object, name: 'a/b' }), /slash/],
    [() => checker.lookup(root, { directory: object, name: 'x'.repeat(256) }), /256 bytes/],
    [() => checker.remove(root, { directory: object, name: '..' }), /name is \.\./],
    [() => checker.lookup(root, { directory: object, name: '\u0100' }), /binary string/],
    [() => checker.write(root, { object, offset: 0, count: 5, stable: 0, data: [pattern(4)] }), /hold 4 bytes/],
    [() => checker.read(root, { object, offset: -1, count: 5 }), /offset is -1/],
  ];
  for (const [action, expected] of bad) assert.throws(action, expected);
  for (const operation of ['getattr', 'lookup', 'remove', 'write', 'read'] as const) {
    assert.equal(faults.calls(operation), 0, operation);
  }
});

test('outside of tests violations are counted, logged once a minute each, and passed on', async () => {
  const messages: object[] = [];
  const log: Log = { ...silentLog, error: (fields) => messages.push(fields) };
  const { clock, faults, checker, object } = setup(false, log);
  faults.on('access', () => ({ status: 0, access: 63 }));
  for (let i = 0; i < 5; i++) ok(await checker.access(root, { object, access: 1 }));
  assert.equal(checker.violations(), 5);
  assert.equal(messages.length, 1);
  await clock.advance(60_000);
  ok(await checker.access(root, { object, access: 1 }));
  assert.equal(messages.length, 2);
});
