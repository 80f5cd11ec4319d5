/** What a session knew of its files is there after a restart of the process, and never older than it may be. */
import { strict as assert } from 'node:assert';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog } from '../base/mod.ts';
import { AccessCache, AttributeCache, Keepsakes, OriginPresence } from '../layers/mod.ts';
import { callBy, FaultLayer, KeptLog, MemoryFilesystem, ok, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { KeepsakeFile, type KeepsakeFileOptions } from './keepsake-file.ts';

const root = callBy(vfs.credential(0, 0));
const alice = callBy(vfs.credential(1000, 1000));
const { Access } = vfs;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'keepsakes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'state', 'known');
}

/** A session of its own over the same origin, each with caches that know nothing. */
function world(t: TestContext) {
  const path = scratch(t);
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const start = (more: Partial<KeepsakeFileOptions> = {}) => {
    const origin = new FaultLayer(memory);
    // As an origin over a network answers: never at once.
    for (const operation of ['getattr', 'access', 'lookup'] as const)
      origin.on<typeof operation>(operation, async (_args, proceed) => proceed() as never);
    const presence = new OriginPresence({ clock });
    const attributes = new AttributeCache(origin, { clock, presence });
    const access = new AccessCache(attributes, { clock, presence });
    const store = new KeepsakeFile({ path, boot: 'one', identity: 'test', log: silentLog, ...more });
    const top = new Keepsakes(access, { clock, store, access, attributes });
    const cut = () => {
      presence.lost('test');
      for (const operation of ['getattr', 'access', 'lookup', 'write'] as const) origin.hold(operation);
    };
    return { top, origin, presence, cut };
  };
  const at = (name: string) => ({ directory: memory.root, name });
  const make = (name: string): string =>
    ok(memory.create(root, { where: at(name), how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  return { path, clock, memory, start, at, make };
}

const write = (object: string, text: string): vfs.WriteArguments => {
  const data = Buffer.from(text);
  return { object, offset: 0, count: data.length, stable: 2, data: [data] };
};

/** What has been answered within a few turns. */
async function soon<T>(reply: T | Promise<T>): Promise<T | undefined> {
  let value: T | undefined;
  Promise.resolve(reply).then((late) => {
    value = late;
  });
  await settle();
  return value;
}

test('a session that starts while its origin is away answers for the files that the one before used', async (t) => {
  const { clock, start, at, make } = world(t);
  const first = start();
  make('disk');
  const { object } = ok(await first.top.lookup(root, at('disk')));
  ok(await first.top.access(alice, { object, access: Access.ALL }));
  ok(await first.top.access(root, { object, access: Access.ALL }));
  ok(await first.top.write(root, write(object, 'hello')));
  await clock.advance(2_000);
  const second = start();
  second.cut();
  const found = ok((await soon(second.top.lookup(root, at('disk'))))!);
  assert.equal(found.object, object);
  assert.equal(found.attributes?.size, 5);
  assert.equal(await soon(second.top.lookup(alice, at('disk'))), undefined);
  assert.equal(ok((await soon(second.top.getattr(alice, { object })))!).attributes.size, 5);
  const bits = Access.READ | Access.MODIFY;
  assert.equal(ok((await soon(second.top.access(alice, { object, access: bits })))!).access, Access.READ);
  assert.equal(ok((await soon(second.top.access(root, { object, access: bits })))!).access, bits);
  const stranger = callBy(vfs.credential(7, 7));
  assert.equal(await soon(second.top.access(stranger, { object, access: bits })), undefined);
});

test('a file in folders is found again from the root on, also one whose name came from a listing or its making', async (t) => {
  const { clock, memory, start, at } = world(t);
  const folder = ok(memory.mkdir(root, { where: at('folder'), set: { mode: 0o755 } })).object!;
  const inside = (name: string) => ({ directory: folder, name });
  ok(memory.create(root, { where: inside('listed'), how: { mode: 'guarded', set: { mode: 0o644 } } }));
  const first = start();
  ok(await first.top.lookup(root, at('folder')));
  const cookieVerifier = '\0'.repeat(8);
  const page = { cookie: 0n, cookieVerifier, directoryBytes: 8_192, replyBytes: 32_768 };
  ok(await first.top.readdirplus(root, { directory: folder, ...page }));
  const made = ok(await first.top.create(root, { where: inside('made'), how: { mode: 'guarded', set: {} } })).object!;
  const listed = ok(await first.top.lookup(root, inside('listed'))).object;
  for (const object of [listed, made]) ok(await first.top.access(root, { object, access: Access.ALL }));
  await clock.advance(2_000);
  const second = start();
  second.cut();
  assert.equal(ok((await soon(second.top.lookup(root, at('folder'))))!).object, folder);
  assert.equal(ok((await soon(second.top.lookup(root, inside('listed'))))!).object, listed);
  assert.equal(ok((await soon(second.top.lookup(root, inside('made'))))!).object, made);
});

test('the root is known without having been granted to anybody', async (t) => {
  const { clock, memory, start } = world(t);
  ok(await start().top.getattr(root, { object: memory.root }));
  await clock.advance(2_000);
  const second = start();
  second.cut();
  ok((await soon(second.top.getattr(root, { object: memory.root })))!);
});

test('while the origin is there, its answers count, and a changed mode takes the grants away', async (t) => {
  const { clock, memory, start, make } = world(t);
  const object = make('disk');
  const first = start();
  ok(await first.top.getattr(alice, { object }));
  ok(await first.top.access(alice, { object, access: Access.ALL }));
  await clock.advance(2_000);
  ok(memory.write(root, write(object, 'foreign')));
  ok(memory.setattr(root, { object, set: { mode: 0o600 } }));
  const second = start();
  assert.equal(ok(await second.top.getattr(alice, { object })).attributes.size, 7);
  second.cut();
  assert.equal(await soon(second.top.access(alice, { object, access: Access.READ })), undefined);
});

test('what a change of our own made old is not known after a kill, however soon; the others are', async (t) => {
  const { clock, start, at, make } = world(t);
  const [changed, other] = [make('a'), make('b')];
  for (const act of ['write', 'names'] as const) {
    const first = start();
    for (const object of [changed, other]) {
      ok(await first.top.getattr(root, { object }));
      ok(await first.top.access(root, { object, access: Access.ALL }));
    }
    await clock.advance(2_000);
    if (act === 'write') ok(await first.top.write(root, write(changed, 'new')));
    else ok(await first.top.rename(root, { from: at('a'), to: at('c') }));
    const second = start();
    second.cut();
    assert.equal(await soon(second.top.getattr(root, { object: changed })), undefined, act);
    const known = await soon(second.top.getattr(root, { object: other }));
    assert.equal(known?.status, act === 'write' ? 0 : undefined, act);
  }
});

test('a change that waits for the origin takes nothing away; the state after one that was answered is kept soon', async (t) => {
  const { clock, start, make } = world(t);
  const object = make('disk');
  const first = start();
  ok(await first.top.getattr(root, { object }));
  ok(await first.top.access(root, { object, access: Access.ALL }));
  ok(await first.top.write(root, write(object, 'one')));
  first.cut();
  first.top.write(root, write(object, 'and two'));
  await clock.advance(1_000);
  const second = start();
  second.cut();
  assert.equal(ok((await soon(second.top.getattr(root, { object })))!).attributes.size, 3);
});

test('a file of another boot, another origin, or one that is not understood counts for nothing, and harms nothing', async (t) => {
  const { path, clock, start, make } = world(t);
  const object = make('disk');
  const first = start();
  ok(await first.top.getattr(root, { object }));
  ok(await first.top.access(root, { object, access: Access.ALL }));
  await clock.advance(2_000);
  const good = readFileSync(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const known = async (more: Partial<KeepsakeFileOptions> = {}): Promise<boolean> => {
    const session = start(more);
    session.cut();
    return (await soon(session.top.getattr(root, { object }))) !== undefined;
  };
  assert.equal(await known(), true);
  assert.equal(await known({ boot: 'two' }), false);
  assert.equal(await known({ identity: 'other' }), false);
  const log = new KeptLog();
  for (const damage of [good.subarray(0, good.length - 9), Buffer.from('{"version":2}\n'), Buffer.from('\n\0')]) {
    writeFileSync(path, damage);
    assert.equal(await known({ log }), false);
  }
  assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 2);
  writeFileSync(path, good);
  appendFileSync(path, '{"forget":"00"}\n');
  assert.equal(await known(), true);
});

test('a store that cannot be written is given up with one warning', async (t) => {
  const { path, clock, start, make } = world(t);
  writeFileSync(join(path, '..', '..', 'state'), '');
  const log = new KeptLog();
  const session = start({ log });
  const object = make('disk');
  for (let i = 0; i < 3; i++) {
    ok(await session.top.access(root, { object, access: Access.ALL }));
    ok(await session.top.write(root, write(object, 'x')));
    await clock.advance(100_000);
  }
  assert.equal(log.lines.filter(({ message }) => /cannot be kept/.test(message)).length, 1);
});
