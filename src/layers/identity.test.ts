import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { callBy, FaultLayer, MemoryFilesystem, ok } from '../testing/mod.ts';
import { type Call, credential, nobodyId } from '../vfs/mod.ts';
import { Identity, type IdentityOptions } from './identity.ts';

const root = callBy(credential(0, 0, [0, 5]));
const alice = callBy(credential(1000, 1000, [1000, 0]));

async function seenBy(options: Partial<IdentityOptions>, call: Call): Promise<string> {
  const faults = new FaultLayer(new MemoryFilesystem());
  const identity = new Identity(faults, { options });
  let key = '';
  faults.on('getattr', (_args, proceed, seen) => {
    key = seen.credential.key;
    return proceed();
  });
  await identity.getattr(call, { object: identity.root });
  return key;
}

test('the default passes callers through unchanged', async () => {
  assert.equal(await seenBy({}, root), root.credential.key);
});

test('root squash turns user 0 into the anonymous user and takes group 0 from everybody', async () => {
  assert.equal(await seenBy({ squash: 'root' }, root), `${nobodyId}:${nobodyId}:`);
  assert.equal(await seenBy({ squash: 'root' }, alice), `1000:1000:1000,${nobodyId}`);
});

test('all squash turns everybody into the anonymous user', async () => {
  assert.equal(await seenBy({ squash: 'all', anonymousUid: 7, anonymousGid: 8 }, alice), '7:8:');
});

test('maps apply to callers and new owners, and backwards to attributes', async () => {
  const memory = new MemoryFilesystem({ root: { mode: 0o777, uid: 0, gid: 0 } });
  const ranges = [{ caller: 1000, origin: 5000, count: 10 }];
  const identity = new Identity(memory, { options: { uids: ranges, gids: ranges } });
  const where = { directory: memory.root, name: 'a' };
  const made = ok(await identity.create(alice, { where, how: { mode: 'guarded', set: {} } }));
  assert.deepEqual([made.attributes?.uid, made.attributes?.gid], [1000, 1000]);
  const there = ok(memory.getattr(root, { object: made.object! })).attributes;
  assert.deepEqual([there.uid, there.gid], [5000, 5000]);
  ok(await identity.setattr(root, { object: made.object!, set: { uid: 1003 } }));
  assert.equal(ok(memory.getattr(root, { object: made.object! })).attributes.uid, 5003);
  assert.equal(ok(await identity.lookup(root, where)).attributes?.uid, 1003);
});
