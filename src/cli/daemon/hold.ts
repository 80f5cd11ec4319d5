/**
 * Sessions that `serve`, `proxy` and `mount` have made in the daemon. They end with their command (src/control/hold-server.ts), and leave
 * what the origin does not have in their log, as a command alone does: nobody waits for a slow link at the end.
 *
 *     HeldRequest ──► cache of that directory? ──no──► refused: the command does it alone
 *                          └─► manager.create (temporary) ──► Held ──close──► changes kept, or discarded if the policy says so
 *
 * What the command line does not say, a rule says; where none matches, the defaults of the command hold, not those of the daemon. But where
 * a policy would have changes stay in a log of this host, which the next start of the same command would not find, the command runs alone.
 */
import { type Log, ViaductError } from '../../base/mod.ts';
import type { Configuration } from '../../config/mod.ts';
import type { Held } from '../../control/mod.ts';
import { managerConfiguration, type RunningManager, type SessionRequest } from '../../daemon/mod.ts';
import { type ErrorRecord, keepsLog, type LeftBehind } from '../../sessions/mod.ts';
import { type HeldRequest, heldRequestSchema } from '../held-request.ts';

export interface Holder {
  readonly manager: Pick<RunningManager, 'create' | 'close' | 'show' | 'subscribe'>;
  readonly log: Log;
  configuration(): Configuration;
}

export async function holdIn(holder: Holder, input: unknown): Promise<Held | { readonly refused: string }> {
  const parsed = heldRequestSchema.safeParse(input);
  if (!parsed.success) return { refused: 'the daemon is of another version, and does not understand what is asked' };
  const wanted = parsed.data;
  const configuration = holder.configuration();
  const cache = cacheFor(wanted, configuration);
  if (typeof cache === 'object' && cache !== null) return cache;
  const { manager } = holder;
  const { kind, origin, listen, policy, allow, squash, connections } = wanted;
  const request: SessionRequest = {
    ...{ kind, origin, listen, allow, squash, cache, isTemporary: true },
    ...(policy === undefined ? {} : { policy }),
    ...(connections === undefined ? {} : { connections }),
    settings: wanted.settings,
  };
  const { decide } = managerConfiguration(configuration);
  const isRuled = policy !== undefined || decide(request).resolved.rule !== undefined;
  const settings = isRuled ? wanted.settings : { ...wanted.defaults, ...wanted.settings };
  const decision = decide({ ...request, settings });
  const { writes, onClose } = decision.settings.session;
  if (keepsLog(writes) && onClose !== 'discard') return { refused: staysBehind(decision.resolved, writes) };
  const view = await manager.create({ ...request, settings });
  if (view.place === undefined) throw notListening(view.name);
  return { id: view.id, name: view.name, origin: view.origin, place: view.place, ...endOf(holder, view.id) };
}

function staysBehind(
  { policy, rule }: { readonly policy: string; readonly rule?: string | undefined },
  writes: string,
): string {
  const by = rule === undefined ? 'by default' : `by ${rule}`;
  return `the policy ${policy} holds for it there, ${by}, and leaves changes in a log (writes: ${writes}); \`viaduct session create\` makes a session that has one`;
}

/** The cache that has the directory, or null for none. */
function cacheFor(
  { cacheDirectory, cacheSizeBytes }: HeldRequest,
  { caches }: Configuration,
): string | null | { readonly refused: string } {
  if (cacheDirectory === null) return null;
  const found = caches.find(({ directory }) => directory === cacheDirectory);
  if (found === undefined) return { refused: `the daemon has no cache in ${cacheDirectory}` };
  if (cacheSizeBytes === undefined || cacheSizeBytes === found.sizeBytes) return found.name;
  return { refused: `the daemon’s cache in ${cacheDirectory} has another size` };
}

function endOf({ manager, log }: Holder, id: string): Pick<Held, 'ended' | 'close'> {
  const ended = Promise.withResolvers<ErrorRecord | undefined>();
  const keep = (): Promise<LeftBehind | undefined> => manager.close(id, { changes: 'keep' }).then(({ left }) => left);
  const unsubscribe = manager.subscribe((event) => {
    if (event.session !== id) return;
    if (event.kind === 'session-closed') ended.resolve(undefined);
    else if (event.kind === 'session-state' && event.view?.state === 'failed') {
      const { error } = event;
      // It is of no use without its command; what it wrote stays.
      keep().catch((cause: unknown) =>
        log.error({ session: id, cause: String(cause) }, 'a session that failed could not be closed'),
      );
      ended.resolve(
        error ?? { code: 'SESSION_FAILED', cause: 'the session failed', remedy: 'Look at the daemon’s log.' },
      );
    }
  });
  void ended.promise.then(unsubscribe);
  const close = async (): Promise<LeftBehind | undefined> => {
    unsubscribe();
    const { settings } = await manager.show(id);
    const isDiscarded = settings.some(({ key, value }) => key === 'on-close' && value === 'discard');
    return isDiscarded ? (await manager.close(id)).left : await keep();
  };
  return { ended: ended.promise, close };
}

function notListening(name: string): ViaductError {
  return new ViaductError('UNEXPECTED', {
    cause: `session ${name} was made, and does not say where it listens`,
    remedy: 'This is a bug in Viaduct; please report it with this message.',
  });
}
