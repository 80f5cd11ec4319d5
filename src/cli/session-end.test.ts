/** What is said at the end of a session, and about a lease whose holder has this host’s name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViaductError } from '../base/mod.ts';
import type { LogNote } from '../control/mod.ts';
import type { LeftBehind } from '../sessions/mod.ts';
import { describeLeft, heldByThisName, restartCommand } from './session-end.ts';

const nothing: LeftBehind = {
  ...{ policy: 'write-back', directory: '/log', bytes: 0, files: 0, conflicts: 0, lostTo: undefined },
};
const some: LeftBehind = { ...nothing, bytes: 2 ** 20, files: 1 };

test('the last line never says that everything is at the origin while a conflict is left', () => {
  assert.equal(describeLeft(nothing), 'everything is at the origin');
  assert.match(describeLeft({ ...nothing, conflicts: 2 }), /^all else is at the origin; 2 files are in conflict/);
  assert.match(describeLeft({ ...some, conflicts: 1 }), /the next start goes on; 1 file is in conflict/);
});

test('after another host took the lease over, the last line names it and promises nothing of the next start', () => {
  assert.match(describeLeft(some), /not at the origin yet: it is in \/log, and the next start goes on$/);
  const lost = describeLeft({ ...some, lostTo: 'b (10.0.0.2:2049)' });
  assert.doesNotMatch(lost, /next start goes on/);
  assert.match(lost, /b \(10\.0\.0\.2:2049\) took the write lease.* \/log .*--take-over/);
});

test('the command that starts a session again works from any directory, takes nothing over, and is quoted', () => {
  const args = [
    'proxy',
    'nfs://a/?nfsport=1',
    '--dirty-log',
    '/l og',
    '--take-over',
    '--abandon-dirty-log',
    '--cache',
    'c',
  ];
  const cache = `${process.cwd()}/c`;
  assert.equal(restartCommand(args), `viaduct proxy 'nfs://a/?nfsport=1' --dirty-log '/l og' --cache ${cache}`);
});

test('a lease of a session with this host’s name is told apart, with the log and the command of the session that ended', () => {
  const held = (holder: string) =>
    new ViaductError('LEASE_HELD', {
      cause: `nfs://s/: ${JSON.stringify(holder)} holds the write lease of "/" since then`,
      remedy: 'End the other host’s session first.',
    });
  const note = (listen: string, directory: string, isRunning = false): LogNote & { isRunning: boolean } => ({
    ...{ directory, origin: 'nfs://s/', listen, policy: 'write-back', pid: 1, startedAt: '', isRunning },
    restart: `viaduct proxy nfs://s/ --listen ${listen}`,
  });
  const notes = [note('127.0.7.2:2049', '/two'), note('127.0.7.3:2049', '/three')];
  const host = { name: 'me', addresses: ['127.0.0.1', '192.0.2.7'] };
  const told = (holder: string, known = notes) => heldByThisName(held(holder), known, 'nfs://s/', host);
  assert.equal(told('other (127.0.7.2:2049)'), undefined);
  assert.equal(told('meander'), undefined);
  // A clone has the name, and may have the notes.
  assert.equal(told('me (192.0.2.8:2049)'), undefined);
  assert.equal(told('me ([2001:db8::1]:2049)'), undefined);
  for (const mine of ['192.0.2.7:2049', '0.0.0.0:2049', '127.0.7.2:2049', '[::1]:2049', ''])
    assert.match(told(`me (${mine})`)?.remedy ?? '', /If it is another host: End the other host’s session first\.$/);
  const ours = told('me (127.0.7.3:2049)');
  assert.equal(ours?.code, 'LEASE_HELD');
  assert.match(ours?.message ?? '', /If it is this host.*its dirty log is \/three/);
  assert.match(
    ours?.remedy ?? '',
    /^If it is this host: start it again: viaduct proxy nfs:\/\/s\/ --listen 127\.0\.7\.3:2049/,
  );
  assert.match(told('me')?.message ?? '', /this host's name/);
  assert.doesNotMatch(told('me')?.message ?? '', /dirty log is/, 'two could be meant');
  assert.match(told('me', notes.slice(0, 1))?.message ?? '', /dirty log is \/two/);
  const running = told('me (127.0.7.3:2049)', [note('127.0.7.3:2049', '/three', true)]);
  assert.match(running?.message ?? '', /process 1 is a session that runs at 127\.0\.7\.3:2049 .*\/three/);
  assert.match(running?.remedy ?? '', /^If it is this host: end that session: kill 1 .*writeback --wait --pid 1/);
  assert.doesNotMatch(running?.remedy ?? '', /[Ss]tart it again/);
});
