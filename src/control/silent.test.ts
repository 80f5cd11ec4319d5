/** What is known of a process that does not answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayKeepChanges } from './mod.ts';

test('a server that does not answer keeps nothing back; a proxy may if its policy says so; what cannot be told may', () => {
  const silent = { kind: 'silent', pid: 7, reason: 'no answer in time' } as const;
  const started = (line: string) => mayKeepChanges(silent, () => ['node', '--disable-sigusr1', ...line.split(' '), '']);
  assert.equal(started('/opt/viaduct/main.ts serve /images --listen 127.0.0.2'), false);
  assert.equal(started('/opt/viaduct/main.ts proxy nfs://a/ --listen 127.0.0.2'), false);
  assert.equal(started('/opt/viaduct/main.ts proxy nfs://a/ --policy write-back'), true);
  assert.equal(started('/opt/viaduct/main.ts mount nfs://a/ /mnt --policy=redirect'), true);
  assert.equal(started('--import x /opt/viaduct/main.ts serve /images'), true, 'not understood');
  assert.equal(
    mayKeepChanges(silent, () => undefined),
    true,
  );
  assert.equal(mayKeepChanges({ ...silent, pid: process.pid }), true, 'this test is no command of Viaduct');
});
