/**
 * An NFS server that crashes: data written UNSTABLE and not committed is lost at a restart, each write by itself, and the write
 * verifier changes (RFC 1813 3.3.7, 3.3.21). Times may be coarse, and replies without wcc_data, as those of some servers.
 *
 * It knows the retransmissions of non-idempotent calls (`answerOnce`), as a server with a durable duplicate request cache does.
 */
import type { Clock, Eventual, Random } from '../base/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { Chance } from './chance.ts';
import { InterceptingFilesystem } from './intercept.ts';
import { MemoryFilesystem } from './memory-filesystem.ts';

export interface SimulatedOriginOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Most bytes of one READ or WRITE; a longer WRITE is done in part. */
  readonly transferBytes?: number;
  readonly capacityBytes?: number;
  /** Times are whole multiples of this. */
  readonly timeStepMs?: number;
  /** Replies to WRITE, COMMIT, SETATTR and so on carry no attributes. */
  readonly withoutWcc?: boolean;
  /** Share of WRITEs that are done in part only, as the protocol allows (RFC 1813 3.3.7). */
  readonly shortWriteShare?: number;
}

/** After a call that changed, or may have changed, what is kept. */
export type MutationListener = (operation: vfs.OperationName | 'restart', args: unknown, reply: unknown) => void;

const mutations: ReadonlySet<vfs.OperationName> = new Set([
  'setattr',
  'write',
  'create',
  'mkdir',
  'symlink',
  'mknod',
  'remove',
  'rmdir',
  'rename',
  'link',
  'commit',
]);

export class SimulatedOrigin extends InterceptingFilesystem {
  readonly memory: MemoryFilesystem;
  restarts = 0;
  /** Told of each mutation in the turn in which it is done; `onCall` before any call, with its arguments. */
  onMutation: MutationListener | undefined;
  onCall: ((operation: vfs.OperationName, args: unknown) => void) | undefined;
  readonly #chance: Chance;
  readonly #withoutWcc: boolean;
  readonly #shortWriteShare: number;
  readonly #transferBytes: number;
  readonly #answered = new Map<string, unknown>();

  constructor({ clock, random, withoutWcc, shortWriteShare, ...rest }: SimulatedOriginOptions) {
    const memory = new MemoryFilesystem({
      ...rest,
      clock,
      volatile: true,
      identity: 'simulated',
      root: { mode: 0o777, uid: 0, gid: 0 },
    });
    super(memory);
    this.memory = memory;
    this.#chance = new Chance(random);
    this.#withoutWcc = withoutWcc === true;
    this.#shortWriteShare = shortWriteShare ?? 0;
    this.#transferBytes = rest.transferBytes ?? Number.POSITIVE_INFINITY;
  }

  /** The server crashes and is there again: the caller keeps calls away meanwhile. */
  restart(): void {
    this.restarts++;
    const share = this.#chance.pick([0, 0.5, 0.5, 1]);
    this.memory.restart(() => this.#chance.happens(share));
    this.onMutation?.('restart', undefined, undefined);
  }

  /** Does the call, or answers what was answered to the same call before. */
  answerOnce<Reply>(callKey: string, execute: () => Eventual<Reply>): Eventual<Reply> {
    const known = this.#answered.get(callKey);
    if (known !== undefined) return known as Reply;
    const reply = execute();
    this.#answered.set(callKey, reply);
    return reply;
  }

  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const isShort = args.count > 1 && this.#chance.happens(this.#shortWriteShare);
    const most = Math.min(this.#transferBytes, isShort ? 1 + this.#chance.below(args.count - 1) : args.count);
    if (args.count <= most) return super.write(call, args);
    return super.write(call, { ...args, count: most, data: [Buffer.concat(args.data).subarray(0, most)] });
  }

  protected override intercept<R>(
    operation: vfs.OperationName,
    _call: vfs.Call,
    args: unknown,
    proceed: () => Eventual<R>,
  ): Eventual<R> {
    this.onCall?.(operation, args);
    const reply = proceed();
    if (mutations.has(operation)) this.onMutation?.(operation, args, reply);
    return this.#withoutWcc ? (stripped(reply as object) as R) : reply;
  }
}

function stripped(reply: object): object {
  const bare: Record<string, unknown> = { ...reply };
  for (const key of ['wcc', 'directoryWcc', 'fromWcc', 'toWcc']) if (key in bare) bare[key] = {};
  return bare;
}
