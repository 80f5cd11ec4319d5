/** What all that the manager does stands on, and the steps of it that can be watched. */
import type { Clock, Log, Random } from '../../base/mod.ts';
import type { HeldAddress, WorkerPool } from '../../sessions/mod.ts';
import type { Addresses } from './addresses.ts';
import type { ManagerEvents } from './events.ts';
import type { ManagerNotes } from './notes.ts';
import type { ManagerConfiguration } from './opening.ts';
import type { ManagedSession } from './session.ts';
import type { StoreKeeper } from './store-keeper.ts';

/** What is done when it is announced; killed there, the next start finds it so. */
export const steps = [
  'create:planned',
  'create:stored',
  'create:directory',
  'create:opened',
  'create:running',
  'close:changes',
  'close:stored',
  'close:closed',
  'close:noted',
  'close:removed',
  'close:done',
] as const;
export type Step = (typeof steps)[number];

/** Sockets that listen for sessions which are not open yet: clients of an earlier daemon wait in them. */
export interface HeldListeners {
  /** Whoever has it closes it. Once; undefined: there is none. */
  take(host: string, port: number): { readonly address: HeldAddress; close(): void } | undefined;
  /** The others are of no use, and in the way. */
  keep(places: readonly { readonly host: string; readonly port: number }[]): void;
}

export interface Ground {
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly store: StoreKeeper;
  readonly pool: WorkerPool;
  readonly addresses: Addresses;
  readonly events: ManagerEvents;
  readonly listeners?: HeldListeners | undefined;
  readonly notes: ManagerNotes;
  /** By id. */
  readonly sessions: Map<string, ManagedSession>;
  /** The one that holds now. */
  configuration(): ManagerConfiguration;
  onStep(step: Step): void;
  /** The daemon ends: nothing is begun any more. */
  isStopping(): boolean;
  /** It is waited for when the daemon ends. */
  during<Result>(work: Promise<Result>): Promise<Result>;
}

/** Tells of a session's state, if it is another than was told last. */
export function tellState({ events, sessions }: Ground, session: ManagedSession): void {
  const view = session.view();
  if (view.state === session.toldState || sessions.get(session.id) !== session) return;
  session.toldState = view.state;
  events.tell({
    ...{ kind: 'session-state', session: session.id, view },
    ...(view.state === 'running' || view.lastError === undefined ? {} : { error: view.lastError }),
  });
}
