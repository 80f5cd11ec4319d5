/**
 * Makes sure that the server behind the connections still serves the file system that was opened.
 *
 *     same --a connection was established anew--> checking: GETATTR of the root
 *      ^                                           |  fsid and fileid as at the start
 *      +-------------------------------------------+
 *      ^                                           |  STALE, or another file system
 *      +--- checked again, at most once a second --+--> foreign: every call is answered STALE, none is sent
 *
 * A session that started while the server was away begins in `checking`, and sends nothing meanwhile.
 *
 * Invariant: a reply that came after a reconnect is passed on only when the root has been seen to be the same since; caches
 * above, which know files by the identity fixed at the start, never mix two file systems. A call that was sent again by the
 * reconnect itself can reach the other file system before this is known; its handle, which carries the old file system's id on
 * every server that we know of, is then refused there.
 */
import { type Clock, type Log, ViaductError } from '../base/mod.ts';
import { type Nfs3Procedure, nfsProgram, procedures } from '../nfs3/mod.ts';
import type { CallOptions, Procedure, RpcCaller, RpcClient } from '../rpc/mod.ts';
import { type Attributes, type Credential, type FileHandle, Status, statusName } from '../vfs/mod.ts';

const recheckMs = 1_000;

export interface RootGuardOptions {
  readonly client: RpcClient;
  readonly root: FileHandle;
  readonly attributes: Pick<Attributes, 'fsid' | 'fileid'>;
  /** A session that started while the server was away: no call is sent before this has come and the root has been checked. */
  readonly mounted?: Promise<unknown> | undefined;
  readonly credential: Credential;
  /** For messages. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The same file system came back: its server may have restarted. Called before any reply that came after it is passed on. */
  readonly onReconnect: () => void;
  /** The server answered a call, with whatever. Called before the reply is passed on. */
  readonly onReply: () => void;
  /** A change was refused with ROFS. */
  readonly onReadOnly: () => void;
  /** What changes have to wait for before they are sent: a write lease that is being asked for. */
  readonly mayChange: () => Promise<void> | undefined;
}

export class RootGuard implements RpcCaller {
  readonly #options: RootGuardOptions;
  readonly #client: RpcClient;
  #reconnectsChecked = 0;
  #checkedMs = 0;
  #isForeign = false;
  #checking: Promise<void> | undefined;
  /** Pending until the root has been seen for the first time. */
  #opening: Promise<void> | undefined;

  constructor(options: RootGuardOptions) {
    this.#options = options;
    this.#client = options.client;
    if (options.mounted === undefined) return;
    this.#reconnectsChecked = -1;
    this.#opening = options.mounted
      .then(() => this.#check())
      .then(() => {
        this.#opening = undefined;
        options.onReply();
      });
    // Whoever calls sees it.
    this.#opening.catch(() => {});
  }

  /** Pending while the server has been away since the start. */
  async opened(): Promise<void> {
    await this.#opening;
  }

  /** The server was away at the start, and has not been seen since. */
  isOpening(): boolean {
    return this.#opening !== undefined;
  }

  /** Whether the server serves another file system now. */
  isForeign(): boolean {
    return this.#isForeign;
  }

  async call<Arguments, Reply>(
    program: { readonly program: number; readonly version: number },
    procedure: Procedure<Arguments, Reply>,
    args: Arguments,
    options: CallOptions,
  ): Promise<Reply> {
    if (this.#opening !== undefined) await this.#opening;
    const leased = changes(procedure) ? this.#options.mayChange() : undefined;
    if (leased !== undefined) await leased;
    if (this.#isForeign) {
      if (this.#options.clock.now() - this.#checkedMs >= recheckMs) await this.#check();
      if (this.#isForeign) return refusal(procedure);
    }
    const reply = await this.#client.call(program, procedure, args, options);
    if (this.#client.stats().reconnects !== this.#reconnectsChecked) await this.#check();
    this.#options.onReply();
    if ((reply as { readonly status?: number }).status === Status.ROFS) this.#options.onReadOnly();
    return this.#isForeign ? refusal(procedure) : reply;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #check(): Promise<void> {
    this.#checking ??= this.#compareRoot().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #compareRoot(): Promise<void> {
    const { root, credential, clock, log, name, attributes: expected, onReconnect } = this.#options;
    for (;;) {
      const { reconnects } = this.#client.stats();
      let found: string | undefined;
      try {
        const reply = await this.#client.call(nfsProgram, procedures.getattr, { object: root }, { credential });
        if (reply.status === Status.STALE || reply.status === Status.BADHANDLE) found = statusName(reply.status);
        else if (reply.status !== 0)
          log.warn({ origin: name, status: statusName(reply.status) }, 'the root cannot be checked');
        else if (reply.attributes.fsid !== expected.fsid) found = `file system ${reply.attributes.fsid.toString(16)}`;
        else if (reply.attributes.fileid !== expected.fileid) found = `file ${reply.attributes.fileid}`;
      } catch (error) {
        if (!(error instanceof ViaductError) || error.code === 'ORIGIN_UNREACHABLE') throw error;
        log.warn({ origin: name, cause: error.message }, 'the root cannot be checked');
      }
      this.#checkedMs = clock.now();
      this.#decide(found, reconnects, onReconnect);
      // It went away and came back meanwhile: the answer may have been the old one.
      if (this.#client.stats().reconnects === reconnects) return;
    }
  }

  #decide(found: string | undefined, reconnects: number, onReconnect: () => void): void {
    const { log, name, attributes } = this.#options;
    const expected = `file system ${attributes.fsid.toString(16)}, file ${attributes.fileid}`;
    if (found !== undefined && !this.#isForeign) {
      const message =
        'the origin came back with another file system: every call is answered STALE until the first one returns';
      log.error({ origin: name, expected, found }, message);
    }
    if (found === undefined && this.#isForeign)
      log.warn({ origin: name }, 'the origin serves its first file system again');
    const wasChecked = this.#reconnectsChecked === reconnects && !this.#isForeign;
    this.#isForeign = found !== undefined;
    this.#reconnectsChecked = reconnects;
    if (found === undefined && !wasChecked) onReconnect();
  }
}

/** All procedures that may not be executed twice, and WRITE. */
function changes(procedure: { readonly name: string; readonly idempotent: boolean }): boolean {
  return !procedure.idempotent || procedure.name.startsWith('WRITE');
}

/** What goes through here are NFSv3 procedures; each can make its own failure body. */
function refusal<Arguments, Reply>(procedure: Procedure<Arguments, Reply>): Reply {
  return (procedure as Nfs3Procedure<Arguments, Reply>).refuse(Status.STALE);
}
