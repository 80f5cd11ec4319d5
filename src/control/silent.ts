/**
 * Whether a process that does not answer may keep changes back. How it was started says so: `serve` has no dirty log, and `proxy` and
 * `mount` only with a policy that was asked for. What cannot be told may.
 */
import { readFileSync } from 'node:fs';
import type { StatusAnswer } from './client.ts';

export function mayKeepChanges(answer: StatusAnswer, argumentsOf = commandLine): boolean {
  if (answer.kind !== 'silent') return false;
  const words = argumentsOf(answer.pid);
  if (words === undefined) return true;
  // The interpreter and its options, the program, its command.
  const program = words.findIndex((word, at) => at > 0 && !word.startsWith('-'));
  const command = program < 0 ? undefined : words[program + 1];
  if (command === 'serve') return false;
  return (command !== 'proxy' && command !== 'mount') || words.some((word) => /write-back|redirect/.test(word));
}

function commandLine(pid: number): string[] | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.length > 1 ? words : undefined;
  } catch {
    return undefined;
  }
}
