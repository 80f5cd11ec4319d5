/**
 * Opens a session's dirty log, and sees to it that nothing in it is left behind or sent where it does not belong.
 *
 *     policy keeps a log      its changes are of this policy, or there are none ──► open         else LOG_NOT_EMPTY
 *     policy keeps none       no log, or one without changes ──► undefined                       else LOG_NOT_EMPTY
 *
 * The policy is a note in the log: what a redirect session wrote must not reach the origin because the next start says write-back.
 */
import { existsSync, readdirSync } from 'node:fs';
import { type Clock, counted, formatSize, type Log, type Random, ViaductError } from '../base/mod.ts';
import { DirtyLog, systemLogDirectory } from '../dirty/mod.ts';
import { bootId } from '../native/mod.ts';
import { logDisk, warnOfRoom } from './log-disk.ts';
import { type DirtyRule, keepsLog, type WritePolicy } from './write-policy.ts';

export interface SessionLogOptions {
  readonly rule: DirtyRule;
  readonly writes: WritePolicy;
  /** The origin's. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** It was open a moment ago: a new one must not take its place. */
  readonly isReopened?: boolean | undefined;
  /** As the log's: false if nothing will be drained. */
  onPressure(): boolean | undefined;
}

const policyNote = 'session/policy';

export async function openSessionLog(options: SessionLogOptions): Promise<DirtyLog | undefined> {
  const { rule, writes } = options;
  const isKept = keepsLog(writes);
  if (!isKept && namesIn(rule.directory).length === 0) return undefined;
  if (options.isReopened === true && !holdsLog(rule.directory)) throw gone(rule.directory);
  const { identity, clock, log, random, onPressure } = options;
  const opened = await DirtyLog.open({
    directory: await systemLogDirectory(rule.directory, { clock }),
    identity,
    limitBytes: rule.limitBytes,
    // Where it cannot be known, every start counts as another boot.
    bootId: bootId() ?? Buffer.from(random.bytes(new Uint8Array(16))).toString('hex'),
    keeps: writes === 'redirect',
    clock,
    log,
    random,
    onPressure,
  });
  try {
    const { dirtyFiles, dirtyBytes } = opened.stats();
    const before = policyOf(opened);
    if (dirtyFiles > 0 && before !== writes) throw notEmpty(options, before, dirtyFiles, dirtyBytes);
    if (!keepsLog(writes)) {
      await opened.close();
      return undefined;
    }
    const { logBytes: takenBytes, limitBytes } = opened.stats();
    const { directory } = rule;
    warnOfRoom({ directory, policy: writes, limitBytes, takenBytes, disk: await logDisk(directory), log });
    if (opened.noted(policyNote) === undefined || before !== writes) opened.note(policyNote, Buffer.from(writes));
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function gone(directory: string): ViaductError {
  return new ViaductError('LOG_MISSING', {
    cause: `the dirty log ${directory}, which this session had open, is not there any more`,
    remedy: 'Mount its disk again, or put the directory back: the session goes on by itself then.',
  });
}

/** Whether a start finds a log there, whatever it may be worth. */
export function holdsLog(directory: string): boolean {
  return namesIn(directory).some((name) => name.startsWith('segment-'));
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function policyOf(log: DirtyLog): string {
  const note = log.noted(policyNote);
  return note === undefined ? 'write-back' : Buffer.from(note).toString();
}

function notEmpty({ rule, writes }: SessionLogOptions, before: string, files: number, bytes: number): ViaductError {
  return new ViaductError('LOG_NOT_EMPTY', {
    cause: `the dirty log ${rule.directory} holds ${formatSize(bytes)} of ${counted(files, 'file')} that a session with --policy ${before} wrote, and this one has --policy ${writes}.`,
    remedy:
      before === 'redirect'
        ? 'Start it with --policy redirect and say `viaduct redirect commit` or `viaduct redirect discard` first, or name another --dirty-log.'
        : 'Start it with --policy write-back and let `viaduct writeback --wait` finish first, or name another --dirty-log.',
  });
}
