/** `npm run check`: tidy, the type checker (of the daemon's page by itself: it runs in browsers) and biome side by side; prints what is wrong and one line each. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules/.bin');
const checks = [
  { name: 'tidy', command: process.execPath, args: [join(root, 'tools/tidy.ts')] },
  { name: 'tsc', command: join(bin, 'tsc'), args: ['--noEmit', '--pretty', 'false'] },
  { name: 'page', command: join(bin, 'tsc'), args: ['-p', 'tsconfig.page.json', '--pretty', 'false'] },
  { name: 'biome', command: join(bin, 'biome'), args: ['check', '--max-diagnostics=50', '--error-on-warnings'] },
];

const results = await Promise.all(checks.map(run));
for (const result of results) {
  if (!result.passed) process.stdout.write(`\n--- ${result.name} ---\n${result.output}\n`);
}
for (const result of results) {
  process.stdout.write(`check: ${result.name} ${result.passed ? 'ok' : 'FAILED'} (${result.seconds.toFixed(1)} s)\n`);
}
process.exitCode = results.every((result) => result.passed) ? 0 : 1;

interface Result {
  readonly name: string;
  readonly passed: boolean;
  readonly output: string;
  readonly seconds: number;
}

function run(check: { name: string; command: string; args: string[] }): Promise<Result> {
  const start = performance.now();
  return new Promise((resolve) => {
    const child = spawn(check.command, check.args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    const finish = (passed: boolean, output: string): void =>
      resolve({ name: check.name, passed, output, seconds: (performance.now() - start) / 1000 });
    child.on('error', (error) => finish(false, error.message));
    child.on('close', (code) => finish(code === 0, Buffer.concat(chunks).toString('utf8').trimEnd()));
  });
}
