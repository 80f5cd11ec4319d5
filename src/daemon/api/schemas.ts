/**
 * The shapes of the API, written once: requests are validated by them, the server's and the client's types are theirs, and the OpenAPI
 * document is made of them.
 *
 *     schemas ──► validation of requests (strict: an unknown property is an error)
 *        ├──────► z.infer, compared with contract.ts by the compiler (schemas.test.ts)
 *        └──────► /v1/openapi.json, docs/openapi.json, the table in docs/api.md
 */
import { z } from 'zod';
import { settingKeys } from '../../policy/mod.ts';
import { sessionStates } from '../contract.ts';
import { errorRecord, leftBehind, listeningPlace, sessionStatus } from './status-schemas.ts';

export { errorRecord } from './status-schemas.ts';

const time = z.string().meta({ description: 'ISO 8601.' });
const text = z.string().max(4096);
/** A control character in a name comes out again in logs and terminals. */
const name = z
  .string()
  .min(1)
  .max(255)
  .regex(/^\P{Cc}+$/u, 'control characters are not allowed');

export const sessionRequest = z
  .strictObject({
    name: name.optional().meta({ description: 'Unique among the open sessions. Default: made from the origin.' }),
    origin: text.min(1).meta({
      description:
        'A directory, an `nfs://` URL, or the name of an origin in viaduct.yaml with a path: `store:/golden`.',
    }),
    kind: z.enum(['serve', 'proxy']).optional().meta({ description: 'Default: `proxy`.' }),
    listen: text.optional().meta({ description: 'ADDR or ADDR:PORT. Default: the next free address of the pool.' }),
    policy: name.optional().meta({ description: 'Default: what the rules say of the origin’s path.' }),
    settings: z
      .record(z.string().max(64), z.unknown())
      .optional()
      .meta({ description: 'Changes to that policy: the keys of viaduct.yaml, sizes as `20G`, times as `5s`.' }),
    cache: name
      .nullable()
      .optional()
      .meta({ description: 'The name of a cache in viaduct.yaml; null: none. Default: the first.' }),
    allow: z.array(text).max(256).readonly().optional().meta({ description: 'Networks that clients may come from.' }),
    squash: z.enum(['none', 'root', 'all']).optional(),
    connections: z.int().min(1).max(64).optional().meta({ description: 'Connections to the origin.' }),
    takeOver: z.boolean().optional().meta({ description: 'Take the write lease over from its holder.' }),
    isTemporary: z.boolean().optional().meta({ description: 'Ends with the daemon instead of being opened again.' }),
  })
  .meta({ id: 'SessionRequest' });

export const sessionState = z.enum(sessionStates).meta({ id: 'SessionState' });

const view = {
  id: z.string().meta({ description: '`s-` and eight of a-z2-7.' }),
  name: z.string(),
  kind: z.enum(['serve', 'proxy']),
  origin: z.string(),
  policy: z.string(),
  rule: z.string().optional().meta({ description: 'The rule that chose the policy, if one did.' }),
  state: sessionState,
  place: listeningPlace.optional(),
  url: z.string().optional(),
  qemu: z.string().optional(),
  isTemporary: z.boolean(),
  createdAt: time,
  restarts: z.number().int(),
  lastError: errorRecord.optional(),
};

export const sessionView = z.object(view).meta({ id: 'SessionView' });

export const settingRow = z
  .object({
    key: z.string(),
    value: z.string(),
    from: z.string().meta({ description: '`model vm-disk`, `policy build`, `this session`, `default`.' }),
  })
  .meta({ id: 'SettingRow' });

export const sessionDetail = z
  .object({
    ...view,
    settings: z.array(settingRow).readonly(),
    status: sessionStatus.optional().meta({ description: 'Absent while its worker cannot say.' }),
  })
  .meta({ id: 'SessionDetail' });

export const sessionSample = z
  .object({
    id: z.string(),
    name: z.string(),
    state: sessionState,
    atMs: z.number().meta({ description: 'By the daemon’s monotonic clock.' }),
    isAnswering: z.boolean(),
    hits: z.number(),
    misses: z.number(),
    readBytes: z.number(),
    writtenBytes: z.number(),
    linkInBytes: z.number(),
    linkOutBytes: z.number(),
    prefetchedBytes: z.number(),
    prefetchUsedBytes: z.number(),
    callsInFlight: z.number(),
    dirtyBytes: z.number(),
    dirtyFiles: z.number(),
    dirtyAgeMs: z.number(),
    conflicts: z.number(),
    originAwayMs: z.number(),
  })
  .meta({ id: 'SessionSample', description: 'Figures worth a plot; bytes and counts grow from the session’s start.' });

export const closeQuery = z.strictObject({
  changes: z
    .enum(['write-back', 'keep', 'discard'])
    .optional()
    .meta({ description: 'What becomes of changes that the origin does not have. Default: the policy’s `on-close`.' }),
});

export const closeResult = z
  .object({ id: z.string(), name: z.string(), left: leftBehind.optional() })
  .meta({ id: 'CloseResult' });

const file = text.min(1).meta({ description: 'As `viaduct status` names it.' });

export const sessionTask = z
  .discriminatedUnion('task', [
    z.strictObject({ task: z.literal('write-back'), file: file.optional() }),
    z.strictObject({ task: z.literal('flush') }),
    z.strictObject({ task: z.literal('invalidate') }),
    z.strictObject({ task: z.literal('clear-conflict'), file }),
    z.discriminatedUnion('how', [
      z.strictObject({ task: z.literal('redirect'), how: z.literal('commit'), takeOver: z.boolean().optional() }),
      z.strictObject({ task: z.literal('redirect'), how: z.literal('discard') }),
    ]),
    z.strictObject({ task: z.literal('warm'), file, what: z.enum(['whole', 'working-set']) }),
  ])
  .meta({ id: 'SessionTask' });

export const taskProgress = z
  .object({
    state: z.string(),
    totalBytes: z.number(),
    pendingBytes: z.number(),
    bytesPerSecond: z.number(),
    secondsLeft: z.number().optional().meta({ description: 'Absent: unknown.' }),
    problem: z.string().optional(),
  })
  .meta({ id: 'TaskProgress' });

export const taskResult = z
  .object({
    outcome: z.enum(['done', 'conflict', 'refused', 'lease-lost', 'closed', 'incomplete']),
    problems: z.array(z.string()).readonly().meta({ description: 'One line each, for people.' }),
  })
  .meta({ id: 'TaskResult' });

export const taskStarted = z.object({ taskId: z.string() }).meta({ id: 'TaskStarted' });

export const taskView = z
  .object({
    id: z.string(),
    session: z.string().meta({ description: 'The id of the session.' }),
    task: sessionTask.optional(),
    state: z.enum(['running', 'ended']),
    startedAt: time,
    endedAt: time.optional(),
    progress: taskProgress.optional().meta({ description: 'The latest.' }),
    result: taskResult.optional(),
    error: errorRecord.optional(),
  })
  .meta({ id: 'TaskView', description: 'An ended task has a result or an error.' });

export const daemonEvent = z
  .object({
    number: z.number().int(),
    time,
    kind: z.enum([
      'session-created',
      'session-state',
      'session-closed',
      'task-started',
      'task-progress',
      'task-ended',
      'configuration-loaded',
      'configuration-refused',
      'worker-restarted',
    ]),
    session: z.string().optional(),
    view: sessionView.optional(),
    task: sessionTask.optional(),
    taskId: z.string().optional(),
    progress: taskProgress.optional(),
    result: taskResult.optional(),
    error: errorRecord.optional(),
    message: z.string().optional(),
  })
  .meta({ id: 'DaemonEvent' });

/** In the place of events that are not kept any more. */
export const lostEvents = z.object({ kind: z.literal('lost'), time, message: z.string() }).meta({
  id: 'LostEvents',
  description: 'Events between the last that was seen and the next one are gone: ask anew.',
});

export const threadReport = z
  .object({
    name: z.string(),
    sessions: z.number().int(),
    restarts: z.number().int(),
    eventLoopDelayMs: z.object({ mean: z.number(), p99: z.number(), max: z.number() }).optional(),
    utilization: z.number().optional().meta({ description: 'Share of one core since it began, 0 to 1.' }),
  })
  .meta({ id: 'ThreadReport' });

export const daemonReport = z
  .object({
    pid: z.number().int(),
    version: z.string(),
    startedAt: time,
    residentBytes: z.number(),
    sessions: z.number().int(),
    stateDirectory: z.string(),
    configurationFile: z.string().optional().meta({ description: 'Absent: it runs without one.' }),
    page: z
      .object({ url: z.string(), tokenFile: z.string() })
      .optional()
      .meta({ description: 'Where it listens on TCP, and the file with its token: the page is `URL/#token=TOKEN`.' }),
  })
  .meta({ id: 'DaemonReport' });

const explainedRow = z
  .object({
    key: z.enum(settingKeys),
    value: z.string(),
    from: z.string(),
    why: z
      .string()
      .optional()
      .meta({ description: 'Of a model’s, and of a default that follows from another setting.' }),
    follows: z.string().meta({ description: 'What it means, in one sentence.' }),
  })
  .meta({ id: 'ExplainedRow' });

export const policyDescription = z
  .object({
    name: z.string(),
    isModel: z.boolean(),
    model: z.string().optional().meta({ description: 'The model that it starts from.' }),
    description: z.string().optional(),
    summary: z.string(),
    settings: z.array(explainedRow).readonly(),
  })
  .meta({ id: 'PolicyDescription' });

export const explainRequest = z
  .strictObject({
    path: text.min(1).meta({ description: 'nfs://HOST/PATH, ORIGIN:/PATH, or a local path below a mount.' }),
    sizeBytes: z.int().min(0).optional().meta({ description: 'Of the file; default: it is looked at.' }),
  })
  .meta({ id: 'ExplainRequest' });

const verdicts = z
  .array(
    z.object({
      rule: z.string(),
      policy: z.string(),
      verdict: z.enum(['won', 'does not match', 'came later']),
      reason: z.string(),
    }),
  )
  .readonly()
  .meta({ description: 'All rules in their order.' });

export const explanation = z
  .object({
    path: z.string(),
    origin: z.string().optional(),
    sizeBytes: z.number().optional(),
    session: z.object({
      policy: z.string(),
      description: z.string().optional(),
      reason: z.string(),
      rules: verdicts,
    }),
    file: z.object({
      policy: z.string().meta({ description: 'The policy whose settings of files hold.' }),
      reason: z.string(),
      rules: verdicts,
    }),
    settings: z.array(explainedRow).readonly(),
    notApplied: z
      .array(z.object({ key: z.enum(settingKeys), value: z.string(), from: z.string(), instead: z.string() }))
      .readonly()
      .meta({ description: 'What a rule’s policy states, but holds for whole sessions only.' }),
  })
  .meta({ id: 'Explanation' });

export const configurationReport = z
  .object({
    file: z.string().optional(),
    loadedAt: time.optional(),
    configuration: z.record(z.string(), z.unknown()).meta({ description: 'As it holds, in the keys of viaduct.yaml.' }),
    problem: errorRecord.optional().meta({ description: 'Why the latest reload was refused.' }),
  })
  .meta({ id: 'ConfigurationReport' });

export const reloaded = z
  .object({
    changed: z.array(z.string()).readonly(),
    pending: z.array(z.object({ session: z.string(), keys: z.array(z.string()).readonly() })).readonly(),
  })
  .meta({ id: 'Reloaded' });

export const sessionPath = z.strictObject({
  session: z.string().min(1).max(255).meta({ description: 'The id or the name of a session.' }),
});
export const taskPath = z.strictObject({ task: z.string().min(1).max(64).meta({ description: 'The id of a task.' }) });

export type DaemonReport = z.infer<typeof daemonReport>;
export type ExplainRequest = z.infer<typeof explainRequest>;
export type ConfigurationReport = z.infer<typeof configurationReport>;
export type TaskView = z.infer<typeof taskView>;
export type LostEvents = z.infer<typeof lostEvents>;
