/** Whose log, cache or address is in the way of a start: most often the same session, which runs already. */
import { ViaductError } from '../base/mod.ts';
import type { LogNote } from '../control/mod.ts';
import type { SessionPlan } from '../sessions/mod.ts';

const inUse: readonly string[] = ['LOG_IN_USE', 'CACHE_IN_USE', 'ADDRESS_IN_USE'];

/** The error with the session named that is in the way; as it was if that is none of ours. `daemon`: the number of its process, if one runs. */
export function explainInUse(
  error: unknown,
  plan: Pick<SessionPlan, 'listen' | 'dirty'>,
  notes: () => readonly LogNote[],
  daemon?: number,
): unknown {
  if (!(error instanceof ViaductError) || !inUse.includes(error.code)) return error;
  const { host, port } = plan.listen;
  const address = `${host}:${port ?? 2049}`;
  const pid = Number(/in use by process (\d+)/.exec(error.message)?.[1]);
  const owner = notes().find(
    (note) => note.pid === pid || (error.code === 'ADDRESS_IN_USE' && isRunning(note, address)),
  );
  if (daemon !== undefined && (owner?.pid ?? pid) === daemon) return ofDaemon(error, daemon);
  if (owner === undefined) return error;
  const isSame = owner.listen === address && owner.directory === plan.dirty?.directory;
  const who = `process ${owner.pid} is a session for ${owner.origin} at ${owner.listen}`;
  return new ViaductError(error.code, {
    cause: `${error.message}. ${isSame ? `This session runs already: ${who}` : `It is of a session that runs: ${who}`}.`,
    remedy: isSame
      ? `Nothing has to be started (\`viaduct status\`). To start it with other options, end it first: kill ${owner.pid}. For a second session give --listen, --dirty-log and --cache of its own.`
      : `End that session (kill ${owner.pid}), or give this one ${wanted(error.code)} of its own.`,
    from: error,
  });
}

/** To end it would end all its sessions. */
function ofDaemon(error: ViaductError, pid: number): ViaductError {
  const instead =
    error.code === 'CACHE_IN_USE'
      ? 'Leave out --alone, and the daemon makes the session there; or give'
      : 'Close its session (`viaduct session list`, `viaduct session close NAME`), or give';
  return new ViaductError(error.code, {
    cause: `${error.message}. That is the daemon (process ${pid}), which has sessions of its own.`,
    remedy: `${instead} this one ${wanted(error.code)} of its own.`,
    from: error,
  });
}

/** Notes of sessions that were killed stay. */
function isRunning({ listen, pid }: LogNote, address: string): boolean {
  if (listen !== address) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function wanted(code: string): string {
  if (code === 'ADDRESS_IN_USE') return 'a --listen address';
  return code === 'LOG_IN_USE' ? 'a --dirty-log' : 'a --cache';
}
