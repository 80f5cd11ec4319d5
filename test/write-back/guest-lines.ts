/** What a guest says on its console. */
import assert from 'node:assert/strict';

const shownBefore = 6;

/** Fails with the first line that tells of an error, and with what the programs said before it. */
export function assertNoErrors(lines: readonly string[], error: RegExp): void {
  const index = lines.findIndex((line) => error.test(line));
  if (index < 0) return;
  const all = lines.filter((line) => error.test(line)).length;
  assert.fail(
    `the guest saw ${all} errors; the first:\n${lines.slice(Math.max(0, index - shownBefore), index + 2).join('\n')}`,
  );
}
