/**
 * Makes chosen calls fail, hang or answer differently. Hooks of one operation run newest first; a hook answers, or goes on by
 * calling `proceed` (and may change what comes back).
 */
import type { Eventual } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { InterceptingFilesystem } from './intercept.ts';

type Arguments<Op extends fs.OperationName> = Parameters<fs.Filesystem[Op]>[1];
type Reply<Op extends fs.OperationName> = Awaited<ReturnType<fs.Filesystem[Op]>>;

export type Hook<Op extends fs.OperationName> = (
  args: Arguments<Op>,
  proceed: () => Eventual<Reply<Op>>,
  call: fs.Call,
) => Eventual<Reply<Op>>;

export interface Held {
  /** How many calls are held. */
  held(): number;
  /** Lets only the newest go. */
  releaseNewest(): void;
  /** Lets all go, and holds no more. */
  release(): void;
}

type AnyHook = (args: unknown, proceed: () => unknown, call: fs.Call) => unknown;

export class FaultLayer extends InterceptingFilesystem {
  readonly #hooks = new Map<fs.OperationName, AnyHook[]>();
  readonly #calls = new Map<fs.OperationName, number>();

  /** Installs a hook; the returned function takes it away. */
  on<Op extends fs.OperationName>(operation: Op, hook: Hook<Op>): () => void {
    const hooks = this.#hooks.get(operation) ?? [];
    this.#hooks.set(operation, hooks);
    hooks.unshift(hook as AnyHook);
    return () => {
      const index = hooks.indexOf(hook as AnyHook);
      if (index >= 0) hooks.splice(index, 1);
    };
  }

  /** Holds calls of one operation until the returned function lets them go (in the order in which they came). */
  hold<Op extends fs.OperationName>(operation: Op, when: 'before' | 'after' = 'before'): Held {
    const waiting: (() => void)[] = [];
    const hook: Hook<Op> = async (_args, proceed) => {
      const reply = when === 'after' ? await proceed() : undefined;
      await new Promise<void>((resolve) => waiting.push(resolve));
      return (reply ?? (await proceed())) as never;
    };
    const remove = this.on(operation, hook);
    return {
      held: () => waiting.length,
      releaseNewest: () => waiting.pop()?.(),
      release: () => {
        remove();
        for (const go of waiting.splice(0)) go();
      },
    };
  }

  /** How often the operation was called since the start. */
  calls(operation: fs.OperationName): number {
    return this.#calls.get(operation) ?? 0;
  }

  protected override intercept<R>(
    operation: fs.OperationName,
    call: fs.Call,
    args: unknown,
    proceed: () => Eventual<R>,
  ): Eventual<R> {
    this.#calls.set(operation, this.calls(operation) + 1);
    let run: () => unknown = proceed;
    for (const hook of [...(this.#hooks.get(operation) ?? [])].reverse()) {
      const inner = run;
      run = () => hook(args, inner, call);
    }
    return run() as Eventual<R>;
  }
}
