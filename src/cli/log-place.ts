/**
 * Whether the dirty log that an earlier session left changes in is where it was. A start on a disk that is not mounted would begin a new
 * log in its place, serve what the origin has, and at its end forget that there is more.
 *
 *     no note of the directory ──► start          its log is there ──► start
 *     no log there, or another one ──► LOG_MISSING          --abandon-dirty-log ──► start; the old note is set aside (LogIndex)
 */
import { type Clock, counted, formatSize, ViaductError } from '../base/mod.ts';
import type { FoundNote, LogIndex } from '../control/mod.ts';
import { type LogId, logId } from '../dirty/mod.ts';

export interface LogPlace {
  readonly directory: string;
  readonly abandons: boolean;
  readonly index: LogIndex;
  readonly clock: Clock;
}

/** Rejects with LOG_MISSING. */
export async function checkLogPlace({ directory, abandons, index, clock }: LogPlace): Promise<void> {
  const note = index.find(directory);
  if (note === undefined || abandons) return;
  // What cannot be read, the start looks at more closely.
  const found = await logId(directory, clock).catch(() => 'unknown' as const);
  const problem = missing(note, found);
  if (problem !== undefined) throw problem;
}

function missing(note: FoundNote, found: LogId): ViaductError | undefined {
  if (found === 'unknown') return undefined;
  if (found !== 'none' && (note.log === undefined || found.uuid === note.log)) return undefined;
  const { directory, origin, listen, left } = note;
  const kept =
    left === undefined ? 'which was killed' : `which left ${formatSize(left.bytes)} of ${counted(left.files, 'file')}`;
  const where = found === 'none' ? 'is not there' : 'is not there: another log is in its place';
  return new ViaductError('LOG_MISSING', {
    cause: `the dirty log ${directory} of the session for ${origin} at ${listen}, ${kept}, ${where}; nothing was made or changed`,
    remedy: `Mount its disk, or put the directory back. If it is gone for good, --abandon-dirty-log starts without what is in it; \`viaduct status\` goes on telling of it, and how to end that.`,
  });
}
