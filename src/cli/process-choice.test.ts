/** Which process and which file a command line means. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProcessStatus } from '../control/mod.ts';
import type { SessionStatus } from '../sessions/mod.ts';
import { candidatesOf, chooseAmong, choose as chooseOf, type Wanted } from './process-choice.ts';

function run(
  pid: number,
  host: string,
  port: number,
  writes: SessionStatus['writes'],
  mountPoint?: string,
): ProcessStatus {
  const session: SessionStatus = {
    ...{ kind: 'proxy', origin: 'nfs://x/', writes, state: 'running', restarts: 0 },
    place: { host, port, portmapper: 'none' },
    ...{ lastError: undefined, cache: undefined, data: undefined },
  };
  return { pid, version: '0', command: 'proxy', startedAt: '', residentBytes: 1, mountPoint, sessions: [session] };
}
const choose = (processes: readonly ProcessStatus[], file: string | undefined, wanted: Wanted, isSaid: boolean) =>
  chooseOf(candidatesOf(processes), file, wanted, isSaid);
const writesBack = {
  what: 'has a session with --policy write-back',
  fits: (session: SessionStatus): boolean => session.writes === 'write-back',
};
const a = run(1, '127.0.0.2', 2049, 'write-back');
const b = run(2, '127.0.0.3', 2049, 'write-through');
const c = run(3, '127.0.0.1', 30_000, 'write-back', '/mnt/vm');

test('the only session of that policy is meant, and a path is inside its export', () => {
  const { pid, file } = choose([a, b], '/golden/disk.raw', writesBack, false);
  assert.deepEqual([pid, file], [1, '/golden/disk.raw']);
  assert.equal(choose([a], 'golden/disk.raw', writesBack, false).file, '/golden/disk.raw');
  assert.equal(choose([a], undefined, writesBack, false).file, undefined);
});

test('a path below a kernel mount means its process', () => {
  const { pid, file } = choose([a, b, c], '/mnt/vm/golden/../disk.raw', writesBack, false);
  assert.deepEqual([pid, file], [3, '/disk.raw']);
  assert.equal(choose([a, c], '/mnt/vm/x', writesBack, false).pid, 3);
});

test('a URL means the session that listens there', () => {
  assert.deepEqual(choose([a, b, c], 'nfs://127.0.0.2/golden/disk.raw', writesBack, false).pid, 1);
  const named = choose([a, c], 'nfs://127.0.0.1/disk.raw?nfsport=30000&mountport=30000', writesBack, false);
  assert.deepEqual([named.pid, named.file], [3, '/disk.raw']);
  assert.throws(() => choose([a, c], 'nfs://127.0.0.9/x', writesBack, false), { code: 'SESSION_NOT_FOUND' });
});

test('none and several are errors that say what to do', () => {
  assert.throws(() => choose([], undefined, writesBack, false), { code: 'SESSION_NOT_FOUND', message: /runs/ });
  assert.throws(() => choose([b], undefined, writesBack, false), {
    code: 'SESSION_NOT_FOUND',
    message: /has a session with --policy write-back/,
  });
  assert.throws(() => choose([a, c], '/x', writesBack, false), {
    code: 'SESSION_NOT_FOUND',
    message: /process 1 \(.*process 3 \(/,
  });
  assert.equal(choose([b], undefined, writesBack, true).pid, 2, 'one that is named may have any policy');
});

test('a file of this host that is not below a mount is refused', () => {
  assert.throws(() => choose([a], 'package.json', writesBack, false), { code: 'CONFIGURATION_INVALID' });
});

test('a process that does not answer is named, unless another one is meant', () => {
  const silent = { kind: 'silent', pid: 9, reason: 'no answer in time' } as const;
  const answers = [{ kind: 'answered', status: b } as const, silent];
  const dumb = { code: 'TIMED_OUT', message: /^process 9 does not answer \(no answer in time\)/ };
  assert.throws(() => chooseAmong(answers, { pid: 9 }, undefined, writesBack), dumb);
  assert.throws(() => chooseAmong(answers, {}, undefined, writesBack), dumb);
  assert.throws(() => chooseAmong(answers, { pid: 8 }, undefined, writesBack), { code: 'SESSION_NOT_FOUND' });
  assert.equal(chooseAmong(answers, { pid: 2 }, undefined, writesBack).pid, 2);
  assert.equal(chooseAmong([{ kind: 'answered', status: a }, silent], {}, undefined, writesBack).pid, 1);
});

test('of a daemon a task names the session, unless only one of them fits', () => {
  const of = (id: string, port: number, writes: SessionStatus['writes']) => ({
    ...{ ...run(0, '127.0.0.1', port, writes).sessions[0]!, id: `s-${id}`, name: id },
  });
  const sessions = [of('golden', 1, 'read-only'), of('vm7', 2, 'write-back')];
  const daemon = { ...a, pid: 40, command: 'daemon', sessions };
  const answers = (all: readonly ProcessStatus[]) => all.map((status) => ({ kind: 'answered', status }) as const);
  assert.equal(chooseAmong(answers([daemon]), {}, '/x', writesBack).session.name, 'vm7');
  assert.equal(chooseAmong(answers([daemon]), { session: 'golden' }, '/x', writesBack).session.name, 'golden');
  assert.equal(chooseAmong(answers([daemon]), { session: 's-vm7' }, '/x', writesBack).session.name, 'vm7');
  assert.equal(chooseAmong(answers([daemon]), { pid: 40 }, '/x', writesBack).session.name, 'vm7');
  const two = { ...daemon, sessions: [...sessions, of('vm8', 3, 'write-back')] };
  assert.throws(() => chooseAmong(answers([two]), {}, '/x', writesBack), {
    code: 'SESSION_NOT_FOUND',
    message: /vm7.*vm8/,
    remedy: /--session NAME/,
  });
  assert.throws(() => chooseAmong(answers([two]), { session: 'vm9' }, '/x', writesBack), /did you mean "vm/);
});

test('a command that holds a session in the daemon stands for it, by its number and by its mount point', () => {
  const session = { ...a.sessions[0]!, id: 's-a', name: 'mnt' };
  const daemon = { ...a, pid: 40, command: 'daemon', sessions: [{ ...session, id: 's-b', name: 'other' }, session] };
  const mount = {
    ...a,
    pid: 41,
    command: 'mount',
    mountPoint: '/mnt/vm',
    sessions: [],
    holds: { pid: 40, id: 's-a', name: 'mnt' },
  };
  const chosen = choose([daemon, mount], '/mnt/vm/disk.raw', writesBack, false);
  assert.deepEqual([chosen.pid, chosen.session.name, chosen.file], [40, 'mnt', '/disk.raw']);
  const answers = [daemon, mount].map((status) => ({ kind: 'answered', status }) as const);
  assert.equal(chooseAmong(answers, { pid: 41 }, '/x', writesBack).session.name, 'mnt');
});
