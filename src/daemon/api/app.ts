/**
 * The API as one fastify application: routes, validation by the schemas, errors as the catalogue tells them, and the OpenAPI document
 * of the same schemas.
 *
 *     request ──► router ──► body (json-body.ts) ──► schema ──► handler ──► JSON
 *        └──────────┴───────────────┴─────────────────┴───────────┴──► {code, cause, remedy} (answers.ts)
 */
import swagger from '@fastify/swagger';
import fastify, { type FastifyReply } from 'fastify';
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type Log, limits } from '../../base/mod.ts';
import { answerOf, refused } from './answers.ts';
import { neededSchemas } from './document.ts';
import { parseBody } from './json-body.ts';
import { pageFile, pageHeaders } from './page-files.ts';
import { type ApiContext, type App, addRoutes } from './routes.ts';

export async function makeApp(context: ApiContext, log: Log): Promise<App> {
  const onBug = (error: unknown): void =>
    log.error({ error }, 'a request to the API failed by an error that nobody expected');
  const fail = (error: unknown, reply: FastifyReply): FastifyReply => {
    const { status, body } = answerOf(error, onBug);
    return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
  };
  const app: App = fastify({
    logger: false,
    bodyLimit: limits.apiBodyBytes,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 255 },
    frameworkErrors: (error, _request, reply) => void fail(error, reply),
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  // What the handlers answer has the types of the schemas; looking at it once more costs more than it finds.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, _request, reply) => fail(error, reply));
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseBody(Buffer.from(body)));
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)), undefined);
    }
  });
  const methods = new Methods();
  app.addHook('onRoute', ({ method, url }) => methods.add(url, method));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]!;
    const allowed = methods.of(path);
    if (allowed === undefined) return fail(refused(404, `there is nothing at ${shown(path)}`), reply);
    return fail(refused(405, `${request.method} is no method of ${shown(path)}`), reply.header('allow', allowed));
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Viaduct daemon',
        version: '1',
        description: 'Sessions of one host: see docs/api.md. Every error is a Problem with a code of docs/errors.md.',
      },
      tags: ['daemon', 'sessions', 'tasks', 'events', 'policies', 'configuration'].map((name) => ({ name })),
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      // Without a token on the Unix socket, with one over TCP.
      security: [{}, { token: [] }],
    },
    transform: createJsonSchemaTransform({}),
    transformObject: (document) => neededSchemas(createJsonSchemaTransformObject({})(document)),
  });
  addRoutes(app, context);
  addPage(app);
  await app.ready();
  return app;
}

function addPage(app: App): void {
  app.get(
    '/v1/openapi.json',
    {
      schema: {
        operationId: 'describe',
        summary: 'This description, for programs',
        tags: ['daemon'],
        response: {
          200: {
            description: 'OpenAPI 3.1.',
            content: { 'application/json': { schema: z.record(z.string(), z.unknown()) as z.ZodType<object> } },
          },
        },
      },
    },
    () => app.swagger(),
  );
  const send = async (name: string, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    const file = await pageFile(name);
    return file && reply.headers({ ...pageHeaders, 'content-type': file.type }).send(file.content);
  };
  app.get('/', { schema: { hide: true } }, async (_request, reply) => {
    const sent = await send('index.html', reply);
    const notice = 'This is the daemon of Viaduct. Its API is at /v1; GET /v1/openapi.json describes it.\n';
    return sent ?? reply.headers({ ...pageHeaders, 'content-type': 'text/plain; charset=utf-8' }).send(notice);
  });
  app.get<{ Params: { '*': string } }>('/page/*', { schema: { hide: true } }, async (request, reply) => {
    const sent = await send(request.params['*'], reply);
    if (sent === undefined) throw refused(404, `the page has no file ${shown(request.params['*'])}`);
    return sent;
  });
}

/** Which methods a path has, to tell a wrong method from a wrong path. */
class Methods {
  readonly #patterns = new Map<string, { readonly pattern: RegExp; readonly methods: string[] }>();

  add(url: string, method: string | readonly string[]): void {
    const known = this.#patterns.get(url);
    const entry = known ?? {
      pattern: new RegExp(`^${url.replace(/:\w+/g, '[^/]+').replace('*', '.*')}$`),
      methods: [],
    };
    this.#patterns.set(url, entry);
    entry.methods.push(...[method].flat());
  }

  /** As the header `Allow` has them. */
  of(path: string): string | undefined {
    for (const { pattern, methods } of this.#patterns.values()) if (pattern.test(path)) return methods.join(', ');
    return undefined;
  }
}

function shown(path: string): string {
  return JSON.stringify(path.slice(0, 200));
}
