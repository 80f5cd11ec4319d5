/**
 * What a test may not leave behind in its private namespaces (support/namespace.ts): processes, listening
 * sockets, mounts, loop devices. The status socket of a killed process is removed by the next `viaduct status`.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface Surroundings {
  readonly mounts: readonly string[];
  readonly listening: readonly string[];
}

export function surroundings(): Surroundings {
  return { mounts: lines('/proc/self/mounts'), listening: listeningSockets() };
}

/** Fails unless everything is as it was `before`; `scratch` is where loop devices of the test have their files. */
export function assertNothingLeft(before: Surroundings, scratch: string): void {
  const now = surroundings();
  assert.deepEqual(processesLeft(), [], 'processes are left');
  assert.deepEqual(now.listening, before.listening, 'listening sockets are left');
  // What another test had mounted when this namespace was made goes when that test removes its folder.
  assert.deepEqual(
    now.mounts.filter((mount) => !before.mounts.includes(mount)),
    [],
    'mounts are left',
  );
  const loops = execFileSync('losetup', ['-a'], { encoding: 'utf8' });
  assert.ok(!loops.includes(scratch), `loop devices are left: ${loops}`);
}

/** Of this process namespace, without this process and its forebears. */
function processesLeft(): string[] {
  const own = new Set<number>();
  for (let pid = process.pid; pid > 0; ) {
    own.add(pid);
    pid = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  }
  const left: string[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || own.has(Number(entry))) continue;
    try {
      const status = readFileSync(`/proc/${entry}/status`, 'utf8');
      // Somebody's orphan that ended: its new parent, this process, cannot wait for what it did not start.
      if (/^State:\s+Z/m.test(status) || status.includes('PPid:\t2\n')) continue;
      left.push(`${entry} ${readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ')}`);
    } catch {
      // Gone meanwhile.
    }
  }
  return left;
}

function listeningSockets(): string[] {
  const listening = ['tcp', 'tcp6'].flatMap((name) =>
    lines(`/proc/net/${name}`).filter((line) => line.trim().split(/\s+/)[3] === '0A'),
  );
  return listening.map((line) => line.trim().split(/\s+/)[1]!).sort();
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
