/**
 * What is shown after a call of ours changed a file at the origin. Servers need not say what they made of it (RFC 1813 2.6): then they are
 * asked, or the file would go on to be shown as it was before.
 */
import { chain, type Eventual } from '../../base/mod.ts';
import type * as vfs from '../../vfs/mod.ts';
import type { Workings } from './workings.ts';

/** When a change was asked for. */
export interface Issue {
  /** Of the table of files. */
  readonly tick: number;
  /** Of the origin: calls that may have been carried out twice. */
  readonly restarts: number;
}

export function issued({ files, origin }: Workings): Issue {
  return { tick: files.tick, restarts: origin.restarts?.() ?? 0 };
}

/** `isExplicit`: the client chose the modification time, which may lie in the past. */
export function ownChange(
  workings: Workings,
  call: vfs.Call,
  object: vfs.FileHandle,
  issue: Issue,
  wcc: vfs.WccData,
  isExplicit = false,
): Eventual<vfs.WccData> {
  // Of a call that was sent again, `before` may show what it did the first time.
  const known = issue.restarts === (workings.origin.restarts?.() ?? 0) ? wcc : { after: wcc.after };
  const shown = told(workings, call, object, issue.tick, known, isExplicit);
  return workings.files.size === 0 ? shown : chain(shown, (data) => noted(workings, data));
}

/** What an operation noted of a file survives the process like its answer. */
export function noted<Reply>({ log, lifetime }: Workings, reply: Reply): Eventual<Reply> {
  return lifetime.isClosed ? reply : chain(log.written(), () => reply);
}

function told(
  { files, next, presented }: Workings,
  call: vfs.Call,
  object: vfs.FileHandle,
  issue: number,
  wcc: vfs.WccData,
  isExplicit: boolean,
): Eventual<vfs.WccData> {
  const file = files.find(object);
  if (file === undefined || wcc.after !== undefined) return presented.changed(object, issue, wcc, isExplicit);
  file.seen = undefined;
  const askedAt = files.tick;
  return chain(next.getattr(call, { object }), (reply) => {
    if (reply.status !== 0) return wcc;
    const { attributes: after } = reply;
    // Our write-back ended meanwhile and knows better.
    if (askedAt < file.settledTick) return presented.unchanged(object, askedAt, { after });
    return presented.changed(object, askedAt, { before: wcc.before, after }, isExplicit);
  });
}
