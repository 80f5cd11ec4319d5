import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

/** In a terminal of its own: draws, says its size when the key comes, and ends in the way that is asked for. */
function inTerminal(end: string): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-screen-'));
  const program = join(scratch, 'program.mjs');
  writeFileSync(
    program,
    `import { Screen } from ${JSON.stringify(join(import.meta.dirname, 'screen.ts'))};
    const screen = new Screen({ input: process.stdin, output: process.stdout, onResize() {}, onKey(key) {
      screen.draw(['key ' + key, 'head'], 1);
      ${end}
    } });
    screen.draw(['waiting'], 0);`,
  );
  return new Promise((resolve, reject) => {
    const command = `${process.execPath} ${program}; stty -a | grep -o -- '-\\?icanon'`;
    const child = execFile('script', ['-qec', command, '/dev/null'], { timeout: 20_000 }, (error, stdout) => {
      rmSync(scratch, { recursive: true, force: true });
      if (error !== null && error.killed === true) reject(error);
      else resolve(stdout);
    });
    let seen = '';
    child.stdout!.on('data', (chunk) => {
      if (!seen.includes('waiting') && (seen + chunk).includes('waiting')) child.stdin!.write('k');
      seen += chunk;
    });
  });
}

for (const [how, end] of [
  ['when it is closed', 'screen.close();'],
  ['when the process ends', 'process.exit(3);'],
  ['when the process fails', "throw new Error('failed');"],
] as const)
  test(`keys come one by one, and the terminal is as before ${how}`, async () => {
    const seen = await inTerminal(end);
    assert.match(seen, /key k/);
    const last = (text: string): number => seen.lastIndexOf(text);
    assert.ok(last('\x1b[?1049h') >= 0 && last('\x1b[?1049l') > last('\x1b[?1049h'), JSON.stringify(seen));
    assert.ok(last('\x1b[?25h') > last('\x1b[?25l'));
    assert.match(seen, /(?<!-)icanon/, 'lines are read as before');
  });
