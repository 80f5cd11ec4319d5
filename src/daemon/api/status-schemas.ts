/**
 * What a session's worker says of itself, as the API shows it: the shapes of `SessionStatus` (src/sessions/running-session.ts) and of all
 * that is in it. The counters of layers have the names that the layers give them, and no schema: they may change.
 *
 * That these shapes are those of the sessions is checked by the compiler, in schemas.test.ts.
 */
import { z } from 'zod';
import { errorCatalogue } from '../../base/mod.ts';
import { writePolicies } from '../../sessions/mod.ts';

const bytes = z.number();
const count = z.number();

export const errorRecord = z
  .object({
    code: z
      .enum(Object.keys(errorCatalogue) as [keyof typeof errorCatalogue])
      .meta({ description: 'One of the catalogue in docs/errors.md.' }),
    cause: z.string().meta({ description: 'What happened, with the names and numbers of this case.' }),
    remedy: z.string().meta({ description: 'What can be done about it.' }),
  })
  .meta({ id: 'Problem', description: 'An error.' });

export const listeningPlace = z
  .object({
    host: z.string(),
    port: z.number().int(),
    portmapper: z
      .enum(['own', 'rpcbind', 'none'])
      .meta({ description: 'Who tells clients about the port; `none`: they must name it.' }),
  })
  .meta({ id: 'ListeningPlace' });

const cacheStatus = z
  .object({
    directory: z.string(),
    own: z
      .object({
        quotaBytes: bytes.optional(),
        occupiedBytes: bytes,
        hits: count,
        hitBytes: bytes,
        misses: count,
        fillBytes: bytes,
        evictions: count,
      })
      .meta({ description: 'Of this session alone.' }),
    sizeBytes: bytes,
    frameCount: count,
    frameBytes: bytes,
    framesUsed: count,
    validBytes: bytes,
    fileRecordCount: count,
    filesUsed: count,
    pinnedBytes: bytes,
    hits: count,
    hitBytes: bytes,
    misses: count,
    slowReads: count,
    fills: count,
    fillBytes: bytes,
    fillsRefused: count,
    fillsDropped: count,
    evictions: count,
    corruptSectors: count,
    diskErrors: count,
  })
  .meta({
    id: 'CacheStatus',
    description: 'The clean cache. Counters are of all the sessions that use it, but for `own`.',
  });

const drainStatus = z
  .object({
    state: z.enum(['idle', 'waiting', 'writing', 'origin-away', 'refused', 'lease-lost', 'damaged']),
    pendingBytes: bytes,
    epochsPending: count,
    movedBytes: bytes.meta({ description: 'What the origin got since the start.' }),
    knownBytes: bytes.meta({ description: 'Of that: what it had already, so that only digests were sent.' }),
    bytesPerSecond: z.number(),
    secondsLeft: z.number().optional().meta({ description: 'Absent: unknown.' }),
    problem: z.string().optional().meta({ description: 'Why it does not move.' }),
  })
  .meta({ id: 'DrainStatus' });

const pendingFile = z
  .object({
    path: z.string().optional(),
    handle: z.string(),
    bytes,
    size: bytes,
    oldestAgeMs: z.number(),
  })
  .meta({ id: 'PendingFile', description: 'A file with changes that the origin does not have.' });

const conflictStatus = z
  .object({
    path: z.string().optional(),
    handle: z.string(),
    kind: z.enum(['changed', 'gone', 'interleaved']),
    atMs: z.number(),
    savedAs: z.object({ where: z.enum(['origin', 'local', 'log']), name: z.string() }).optional(),
  })
  .meta({ id: 'ConflictStatus', description: 'A file that somebody else changed at the origin while ours waited.' });

const leaseState = z.union([
  z.object({ state: z.enum(['none', 'held']) }),
  z.object({ state: z.literal('acquiring'), problem: z.string().optional() }),
  z.object({ state: z.literal('lost'), holder: z.string(), sinceMs: z.number() }),
]);

const loggedPolicy = z.enum(['write-back', 'redirect']);

const logStatus = z.object({
  directory: z.string(),
  usedBytes: bytes,
  reservedBytes: bytes,
  limitBytes: bytes,
  segments: count,
  epochs: count,
  waitingWriters: count,
  syncs: count,
  failedSyncs: count,
  damagedReads: count,
  disk: z.object({ sizeBytes: bytes, freeBytes: bytes, state: z.enum(['roomy', 'short', 'full']) }).optional(),
});

export const writeBackStatus = z
  .object({
    policy: loggedPolicy,
    commit: z.enum(['local', 'next', 'origin']),
    isAtOrigin: z.boolean().meta({ description: 'Nothing that clients wrote is missing at the origin.' }),
    pendingBytes: bytes,
    pendingFiles: count,
    oldestAgeMs: z.number().optional(),
    drain: drainStatus,
    originAwaySinceMs: z.number().optional(),
    files: z.array(pendingFile).readonly().meta({ description: 'The largest first.' }),
    filesLeftOff: count,
    conflicts: z.array(conflictStatus).readonly(),
    lease: leaseState,
    log: logStatus,
  })
  .meta({ id: 'WriteBackStatus', description: 'See docs/status.md.' });

const hop = z.object({
  host: z.string(),
  policy: z.enum(writePolicies),
  isAtNext: z.boolean(),
  pendingBytes: bytes,
  pendingFiles: count,
  conflicts: count,
  oldestAgeMs: z.number().optional(),
  state: z.enum(['idle', 'waiting', 'writing', 'origin-away', 'refused', 'lease-lost', 'damaged', 'passing']),
  secondsLeft: z.number().optional(),
});

const chainStatus = z
  .object({
    isAtOrigin: z.boolean(),
    hops: z.array(hop).readonly().meta({ description: 'The nearest first.' }),
    end: z.enum(['origin', 'silent', 'cut']),
    saidMs: z.number().optional(),
  })
  .meta({ id: 'ChainStatus', description: 'The Viaducts between this session and its origin.' });

/** Objects of any shape: no more is known of them. */
const counters = z.record(z.string(), z.unknown()) as z.ZodType<object>;

export const sessionStatus = z
  .object({
    kind: z.enum(['serve', 'proxy']),
    origin: z.string(),
    writes: z.enum(writePolicies),
    state: z.enum(['starting', 'running', 'waiting', 'closing', 'ended']),
    place: listeningPlace.optional(),
    restarts: count,
    lastError: errorRecord.optional(),
    cache: cacheStatus.optional(),
    data: z
      .object({
        server: counters,
        layers: z.record(z.string(), counters).meta({ description: 'By layer; the names are those of the layers.' }),
        writeBack: writeBackStatus.optional(),
        chain: chainStatus.optional(),
      })
      .optional()
      .meta({ description: 'Absent while the worker does not answer.' }),
  })
  .meta({ id: 'SessionStatus' });

export const leftBehind = z
  .object({
    policy: loggedPolicy,
    directory: z.string(),
    bytes,
    files: count,
    conflicts: count,
    lostTo: z.string().optional(),
  })
  .meta({ id: 'LeftBehind', description: 'What stays in a dirty log of this host.' });
