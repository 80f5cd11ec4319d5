/**
 * A reporter of Node's test runner, beside the one that names each test: the test files that took longest, with their seconds, so
 * that the log of a run tells what to make quicker.
 */
import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

const listed = 12;

/** Node loads a reporter by its default export. */
// biome-ignore lint/style/noDefaultExport: see above
export default async function* slowestFiles(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files: { path: string; seconds: number }[] = [];
  for await (const { type, data } of events) {
    if (type !== 'test:summary' || data.file === undefined) continue;
    files.push({ path: relative(process.cwd(), data.file), seconds: data.duration_ms / 1000 });
  }
  files.sort((a, b) => b.seconds - a.seconds);
  const sum = files.reduce((seconds, file) => seconds + file.seconds, 0);
  yield `slowest of ${files.length} test files, which took ${sum.toFixed(0)} s one after the other:\n`;
  for (const { path, seconds } of files.slice(0, listed)) yield `${seconds.toFixed(1).padStart(8)} s  ${path}\n`;
}
