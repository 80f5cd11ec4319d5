/**
 * The paths of the API: what each takes, answers and does. Handlers are short: they ask the manager, and what it rejects with is answered
 * by its code (answers.ts).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Metrics } from '../metrics/mod.ts';
import { refused } from './answers.ts';
import type { EventRing } from './event-ring.ts';
import type { EventStream, EventStreams } from './event-stream.ts';
import * as shapes from './schemas.ts';
import type { ApiServices } from './services.ts';
import type { TaskBook } from './task-book.ts';

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

export interface ApiContext {
  readonly services: ApiServices;
  readonly events: EventRing;
  readonly streams: EventStreams;
  readonly tasks: TaskBook;
  readonly metrics: Metrics;
}

export function addRoutes(app: App, context: ApiContext): void {
  addDaemonRoutes(app, context);
  addSessionRoutes(app, context);
  addTaskRoutes(app, context);
  addEventRoutes(app, context);
  addPolicyRoutes(app, context);
}

const nothing = z.strictObject({});

function answer<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { 'application/json': { schema } } };
}

const problem = (description: string) => answer(description, shapes.errorRecord);
const streamed = (description: string) => ({ schema: z.string().meta({ description }) });

/** What any path may answer. */
const always = {
  400: problem('The request is not what this path takes; the cause names the property.'),
  401: problem('Over TCP: the token is missing or wrong.'),
  403: problem('Over TCP: it came from a foreign page or under a foreign host name. Or a privilege is missing.'),
  500: problem('A bug; the log of the daemon has more.'),
};
const withBody = {
  ...always,
  413: problem('The body has more than 1 MiB.'),
  415: problem('The body is no application/json.'),
};
const noSuchSession = { 404: problem('There is no such session.') };
const inTheWay = {
  409: problem('The state of the session, of its policy or of the host is in the way; the code says what.'),
  503: problem('Something that is needed does not answer, or has no room.'),
};
const full = { 503: problem('As many clients follow, or tasks are under way, as there may be.') };

function addDaemonRoutes(app: App, { services, metrics, streams }: ApiContext): void {
  app.get(
    '/v1/daemon',
    {
      schema: {
        ...{ operationId: 'showDaemon', summary: 'Who answers: process, version, directories', tags: ['daemon'] },
        querystring: nothing,
        response: { 200: answer('The daemon.', shapes.daemonReport), ...always },
      },
    },
    () => services.daemon(),
  );
  app.get(
    '/v1/threads',
    {
      schema: {
        ...{ operationId: 'listThreads', summary: 'The threads, and how late their event loops are', tags: ['daemon'] },
        querystring: nothing,
        response: { 200: answer('The threads.', z.array(shapes.threadReport).readonly()), ...always },
      },
    },
    () => services.manager.threads(),
  );
  app.get(
    '/metrics',
    {
      schema: {
        ...{ operationId: 'scrape', summary: 'All counters, for Prometheus', tags: ['daemon'] },
        response: {
          200: {
            description: 'The text format, version 0.0.4.',
            content: { 'text/plain': streamed('Series named viaduct_...') },
          },
          ...always,
        },
      },
    },
    async (_request, reply) => {
      const text = await metrics.text(streams.stats());
      return reply.header('content-type', metrics.contentType).send(text);
    },
  );
}

function addSessionRoutes(app: App, { services: { manager } }: ApiContext): void {
  const tags = ['sessions'];
  app.get(
    '/v1/sessions',
    {
      schema: {
        ...{ operationId: 'listSessions', summary: 'All sessions', tags },
        querystring: nothing,
        response: { 200: answer('The sessions.', z.array(shapes.sessionView).readonly()), ...always },
      },
    },
    () => manager.list(),
  );
  app.post(
    '/v1/sessions',
    {
      schema: {
        ...{ operationId: 'createSession', summary: 'Open a session; answers when it listens', tags },
        querystring: nothing,
        body: shapes.sessionRequest,
        response: { 201: answer('It listens.', shapes.sessionView), ...withBody, ...inTheWay },
      },
    },
    async (request, reply) => reply.code(201).send(await manager.create(request.body)),
  );
  app.get(
    '/v1/samples',
    {
      schema: {
        ...{ operationId: 'listSamples', summary: 'The figures of all sessions that are worth a plot', tags },
        querystring: nothing,
        response: { 200: answer('One for each session.', z.array(shapes.sessionSample).readonly()), ...always },
      },
    },
    () => manager.samples(),
  );
  app.get(
    '/v1/sessions/:session',
    {
      schema: {
        ...{ operationId: 'showSession', summary: 'One session: settings, state, all that its layers count', tags },
        params: shapes.sessionPath,
        querystring: nothing,
        response: { 200: answer('The session.', shapes.sessionDetail), ...always, ...noSuchSession },
      },
    },
    (request) => manager.show(request.params.session),
  );
  app.delete(
    '/v1/sessions/:session',
    {
      schema: {
        ...{ operationId: 'closeSession', summary: 'Close a session for good', tags },
        params: shapes.sessionPath,
        querystring: shapes.closeQuery,
        response: { 200: answer('It is closed.', shapes.closeResult), ...always, ...noSuchSession, ...inTheWay },
      },
    },
    (request) => {
      refuseBody(request.body);
      return manager.close(request.params.session, request.query);
    },
  );
  app.post(
    '/v1/sessions/:session/reopen',
    {
      schema: {
        ...{
          operationId: 'reopenSession',
          summary: 'Open a session again that failed, or was closed with changes kept',
          tags,
        },
        params: shapes.sessionPath,
        querystring: nothing,
        response: { 200: answer('It listens.', shapes.sessionView), ...always, ...noSuchSession, ...inTheWay },
      },
    },
    (request) => {
      refuseBody(request.body);
      return manager.reopen(request.params.session);
    },
  );
}

function addTaskRoutes(app: App, { tasks, streams }: ApiContext): void {
  const tags = ['tasks'];
  const told = streamed(
    'Server-sent events `started`, `progress` and, last, `result` or `error`; the data of each is a TaskView.',
  );
  const follow = (id: string, reply: FastifyReply, lastId: string | undefined): void =>
    tasks.follow(id, takeStream(reply, streams), lastId);
  app.post(
    '/v1/sessions/:session/tasks',
    {
      schema: {
        ...{ operationId: 'startTask', summary: 'Start a task; with Accept: text/event-stream follow it', tags },
        params: shapes.sessionPath,
        querystring: nothing,
        body: shapes.sessionTask,
        response: {
          200: { description: 'Followed to its end.', content: { 'text/event-stream': told } },
          202: answer('It has begun.', shapes.taskStarted),
          ...withBody,
          ...noSuchSession,
          ...full,
        },
      },
    },
    async (request, reply) => {
      const wantsStream = acceptsEvents(request.headers.accept);
      if (wantsStream) streams.refuseIfFull();
      const taskId = tasks.start(request.params.session, request.body);
      if (wantsStream) {
        follow(taskId, reply, undefined);
        return reply;
      }
      return reply.code(202).send({ taskId });
    },
  );
  app.get(
    '/v1/tasks',
    {
      schema: {
        ...{ operationId: 'listTasks', summary: 'The latest thousand tasks, the oldest first', tags },
        querystring: nothing,
        response: { 200: answer('The tasks.', z.array(shapes.taskView).readonly()), ...always },
      },
    },
    () => tasks.list(),
  );
  app.get(
    '/v1/tasks/:task',
    {
      schema: {
        ...{ operationId: 'showTask', summary: 'One task; with Accept: text/event-stream follow it', tags },
        params: shapes.taskPath,
        querystring: nothing,
        response: {
          200: {
            description: 'The task.',
            content: { 'application/json': { schema: shapes.taskView }, 'text/event-stream': told },
          },
          ...always,
          404: problem('The task was never started, or is forgotten.'),
          ...full,
        },
      },
    },
    async (request, reply) => {
      const view = tasks.view(request.params.task);
      if (!acceptsEvents(request.headers.accept)) return view;
      streams.refuseIfFull();
      follow(view.id, reply, lastEventId(request.headers));
      return reply;
    },
  );
}

function addEventRoutes(app: App, { events, streams }: ApiContext): void {
  app.get(
    '/v1/events',
    {
      schema: {
        ...{ operationId: 'followEvents', summary: 'What happens, as server-sent events', tags: ['events'] },
        description:
          'With the header Last-Event-ID it begins behind that event; if events in between are not kept any more, an event `lost` ' +
          '(LostEvents) comes first. At most 64 clients follow events and tasks; one that does not read is cut off.',
        querystring: nothing,
        response: {
          200: {
            description: 'The data of each is a DaemonEvent.',
            content: { 'text/event-stream': streamed('Server-sent events.') },
          },
          ...always,
          ...full,
        },
      },
    },
    async (request, reply) => {
      streams.refuseIfFull();
      events.follow(takeStream(reply, streams), lastEventId(request.headers));
      return reply;
    },
  );
}

function addPolicyRoutes(app: App, { services }: ApiContext): void {
  const tags = ['policies'];
  app.get(
    '/v1/policies',
    {
      schema: {
        ...{ operationId: 'listPolicies', summary: 'Models and policies, with the reason of each setting', tags },
        querystring: nothing,
        response: { 200: answer('The policies.', z.array(shapes.policyDescription).readonly()), ...always },
      },
    },
    () => services.policies(),
  );
  app.post(
    '/v1/policies/explain',
    {
      schema: {
        ...{ operationId: 'explainPolicy', summary: 'Which rule wins for a path, and what follows', tags },
        querystring: nothing,
        body: shapes.explainRequest,
        response: { 200: answer('Which rules won, and what follows.', shapes.explanation), ...withBody, ...inTheWay },
      },
    },
    (request) => services.explain(request.body),
  );
  app.get(
    '/v1/configuration',
    {
      schema: {
        ...{ operationId: 'showConfiguration', summary: 'The configuration as it holds', tags: ['configuration'] },
        querystring: nothing,
        response: { 200: answer('Without secrets.', shapes.configurationReport), ...always },
      },
    },
    () => services.configuration(),
  );
  app.post(
    '/v1/configuration/reload',
    {
      schema: {
        ...{ operationId: 'reloadConfiguration', summary: 'Read viaduct.yaml again', tags: ['configuration'] },
        querystring: nothing,
        response: { 200: answer('What changed.', shapes.reloaded), ...always, ...inTheWay },
      },
    },
    (request) => {
      refuseBody(request.body);
      return services.reload();
    },
  );
}

/** The response is the stream's from now on. */
function takeStream(reply: FastifyReply, streams: EventStreams): EventStream {
  reply.hijack();
  return streams.open(reply.raw);
}

function acceptsEvents(accept: string | undefined): boolean {
  return accept?.includes('text/event-stream') === true;
}

function lastEventId(headers: IncomingMessage['headers']): string | undefined {
  const id = headers['last-event-id'];
  return typeof id === 'string' ? id : undefined;
}

function refuseBody(body: unknown): void {
  if (body === undefined || body === null) return;
  const keys = typeof body === 'object' ? Object.keys(body) : [];
  if (typeof body !== 'object' || keys.length > 0)
    throw refused(400, `this path takes no body${keys.length > 0 ? `: /${keys[0]!.slice(0, 64)}` : ''}`);
}
