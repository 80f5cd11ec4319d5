/**
 * COMMITs that nobody asked for: when much unstable data is kept, when a file has not been written for a while, and at the
 * end. The caller of them is the last writer of the file.
 *
 *     kept bytes   0 ---- 1/4 ----- 1/2 ------------- bound
 *                          ^ stop    ^ begin           ^ writers wait
 *
 * When the origin refuses to commit, writers who wait go on, and for a second new data is not kept but sent FILE_SYNC.
 */
import type { Clock, Eventual, Log, Timer } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { UnstableFile, UnstableFiles } from './unstable-files.ts';
import type { WriteRoom } from './write-room.ts';

export interface StabilityOptions {
  /** Most bytes of unstable data that are kept. */
  readonly unstableBytes: number;
  /** A file that was not written for so long is committed by ourselves. */
  readonly idleCommitMs: number;
  /** How long `close` waits for the origin to commit what is kept. */
  readonly closeMs: number;
}

export interface OwnCommitsContext {
  readonly files: UnstableFiles;
  readonly room: WriteRoom;
  readonly clock: Clock;
  readonly log: Log;
  readonly options: StabilityOptions;
  readonly commit: (call: vfs.Call, args: vfs.CommitArguments) => Eventual<vfs.CommitReply>;
}

const refusedMs = 1_000;

export class OwnCommits {
  readonly #context: OwnCommitsContext;
  #count = 0;
  #relieving = false;
  #refusedUntilMs = 0;
  #idleTimer: Timer | undefined;
  #closed = false;

  constructor(context: OwnCommitsContext) {
    this.#context = context;
  }

  /** COMMITs so far. */
  get count(): number {
    return this.#count;
  }

  /** Whether the origin has just refused to commit. */
  refused(): boolean {
    return this.#refusedUntilMs > 0 && this.#context.clock.now() < this.#refusedUntilMs;
  }

  /** A file has new unstable data. */
  wrote(): void {
    const { clock, options } = this.#context;
    this.#idleTimer ??= clock.after(options.idleCommitMs, () => this.#commitIdle());
  }

  /** Commits what is kept; the origin may be away, so it is given a limited time. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#idleTimer?.cancel();
    await this.#commitAll();
  }

  /** Commits files, the largest first, until a quarter of the bound is left. */
  relieve(): void {
    if (this.#relieving) return;
    this.#relieving = true;
    this.#relieveLoop().then(
      () => {
        this.#relieving = false;
      },
      (error: unknown) => {
        this.#relieving = false;
        this.#failed(error, 'COMMIT');
        this.#context.room.giveUp();
      },
    );
  }

  async #relieveLoop(): Promise<void> {
    const targetBytes = this.#context.options.unstableBytes / 4;
    while (this.#context.files.bytes > (this.#context.room.waiting > 0 ? 0 : targetBytes)) {
      const file = this.#context.files.largest();
      if (file === undefined) break;
      if (await this.#commitFile(file)) continue;
      // The origin does not commit: new data is not kept for a while, but sent FILE_SYNC.
      this.#refusedUntilMs = this.#context.clock.now() + refusedMs;
      this.#context.room.giveUp();
      break;
    }
    this.#context.room.admit();
  }

  async #commitFile(file: UnstableFile): Promise<boolean> {
    const { call } = file;
    if (call === undefined) return false;
    this.#count++;
    const reply = await this.#context.commit(call, { object: file.handle, offset: 0, count: 0 });
    if (reply.status !== 0 && !isGone(reply.status)) {
      this.#context.log.warn({ status: vfs.statusName(reply.status) }, 'the origin refused to commit unstable data');
    }
    return reply.status === 0 || isGone(reply.status);
  }

  #commitIdle(): void {
    this.#idleTimer = undefined;
    if (this.#closed) return;
    const oldest = this.#context.clock.now() - this.#context.options.idleCommitMs;
    const files = this.#context.files.withData();
    for (const file of files) {
      if (file.writtenMs > oldest) continue;
      this.#commitFile(file).catch((error: unknown) => this.#failed(error, 'COMMIT'));
    }
    if (files.length > 0) {
      this.#idleTimer = this.#context.clock.after(this.#context.options.idleCommitMs / 2, () => this.#commitIdle());
    }
  }

  async #commitAll(): Promise<void> {
    const files = this.#context.files.withData();
    if (files.length === 0) return;
    let timer: Timer | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = this.#context.clock.after(this.#context.options.closeMs, resolve);
    });
    const commits = Promise.allSettled(files.map((file) => this.#commitFile(file)));
    await Promise.race([commits, timeout]);
    timer?.cancel();
    if (this.#context.files.bytes === 0) return;
    const fields = { files: this.#context.files.kept(), bytes: this.#context.files.bytes };
    this.#context.log.error(fields, 'closing with data that the origin has not committed');
  }

  #failed(error: unknown, operation: string): void {
    if (!this.#closed) this.#context.log.error({ error }, `${operation} by the stability layer failed`);
  }
}

/** The file does not exist any more. */
export function isGone(status: number): boolean {
  return status === vfs.Status.STALE || status === vfs.Status.BADHANDLE;
}
