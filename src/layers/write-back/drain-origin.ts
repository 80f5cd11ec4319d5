/**
 * The drain's calls to the origin: under whose name, and whether it answers.
 *
 * A change goes under its writer's name. If that is refused (the mode changed since, or the client held the file open), it goes once more
 * under the name of the file's owner, who may always: the write was granted when it was accepted.
 */
import type { Clock, Eventual } from '../../base/mod.ts';
import * as vfs from '../../vfs/mod.ts';

type Owner = { readonly uid: number; readonly gid: number };

export const drainPeer = 'write-back';
const superuser = vfs.credential(0, 0);

export class OriginCalls {
  readonly #clock: Clock;
  #owed = 0;
  #movedMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#movedMs = clock.now();
  }

  /** How long answers have been owed and none has come. */
  silentMs(): number {
    return this.#owed === 0 ? 0 : this.#clock.now() - this.#movedMs;
  }

  /** Rejects only when the session is being closed. */
  async ask<R>(action: () => Eventual<R>): Promise<R> {
    if (this.#owed++ === 0) this.#movedMs = this.#clock.now();
    try {
      return await action();
    } finally {
      this.#owed--;
      this.#movedMs = this.#clock.now();
    }
  }
}

/** Under whose name the changes of one file go. */
export class Caller {
  readonly #origin: OriginCalls;
  #owner: Owner | undefined;
  /** Writers who were refused where the owner was not. */
  readonly #refused = new Set<string>();

  constructor(origin: OriginCalls, owner: Owner | undefined) {
    this.#origin = origin;
    this.#owner = owner;
  }

  setOwner(owner: Owner): void {
    this.#owner = owner;
  }

  async ask<R extends { readonly status: number }>(
    writer: vfs.Credential | undefined,
    action: (call: vfs.Call) => Eventual<R>,
  ): Promise<R> {
    const who = writer ?? this.#ownerCredential() ?? superuser;
    const owner = this.#ownerCredential();
    if (owner !== undefined && this.#refused.has(who.key)) return this.#ask(owner, action);
    const reply = await this.#ask(who, action);
    const isRefused = reply.status === vfs.Status.ACCES || reply.status === vfs.Status.PERM;
    if (!isRefused || owner === undefined || owner.key === who.key) return reply;
    const second = await this.#ask(owner, action);
    if (second.status === 0) this.#refused.add(who.key);
    return second;
  }

  /** What is sent has its data in the log until it is committed. */
  #ask<R>(who: vfs.Credential, action: (call: vfs.Call) => Eventual<R>): Promise<R> {
    return this.#origin.ask(() => action({ ...callAs(who), resendsItself: true }));
  }

  #ownerCredential(): vfs.Credential | undefined {
    return this.#owner === undefined ? undefined : vfs.credential(this.#owner.uid, this.#owner.gid);
  }
}

export function callAs(credential: vfs.Credential): vfs.Call {
  return { credential, peer: drainPeer, priority: 'prefetch' };
}

/** For calls that need no rights. */
export const plainCall: vfs.Call = callAs(superuser);
