import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './program.ts';

const failure = 'GUEST_BUILD_FAILED' as const;

test('a missing program is a named error with the command that installs it', async () => {
  await assert.rejects(run('mmdebstrap-that-is-absent', [], { failure }), { code: 'PROGRAM_MISSING' });
});

test('a program that fails is an error with its last words', async () => {
  await assert.rejects(run('sh', ['-c', 'echo the reason >&2; exit 3'], { failure }), {
    code: failure,
    message: /ended with 3: the reason/,
  });
});

test('an aborted program has ended before the promise settles', async () => {
  const abort = new AbortController();
  const lines: string[] = [];
  const running = run('sh', ['-c', 'echo $$ >&2; exec sleep 60'], {
    failure,
    signal: abort.signal,
    onLine: (line) => {
      lines.push(line);
      setTimeout(() => abort.abort(new Error('stop')), 20);
    },
  });
  await assert.rejects(running, { message: 'stop' });
  assert.throws(() => process.kill(Number(lines[0]), 0), { code: 'ESRCH' });
});
