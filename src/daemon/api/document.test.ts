/** `VIADUCT_WRITE_DOCUMENTS=1` writes docs/openapi.json and the table in docs/api.md instead of comparing; then format the first with biome. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { routeTable } from './document.ts';
import { type ApiFixture, ask, openApi } from './fixture.test.ts';

const docs = join(import.meta.dirname, '../../../docs');
const isWriting = process.env.VIADUCT_WRITE_DOCUMENTS === '1';
const again = 'run: VIADUCT_WRITE_DOCUMENTS=1 sh tools/with-node.sh --test src/daemon/api/document.test.ts';

interface Answer {
  readonly description?: string;
  readonly content?: Readonly<Record<string, { readonly schema: object }>>;
}
interface Operation {
  readonly summary?: string;
  readonly operationId?: string;
  readonly responses: Readonly<Record<string, Answer>>;
  readonly requestBody?: object;
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const expected = [
  'DELETE /v1/sessions/{session}',
  'GET /metrics',
  'GET /v1/configuration',
  'GET /v1/daemon',
  'GET /v1/events',
  'GET /v1/openapi.json',
  'GET /v1/policies',
  'GET /v1/samples',
  'GET /v1/sessions',
  'GET /v1/sessions/{session}',
  'GET /v1/tasks',
  'GET /v1/tasks/{task}',
  'GET /v1/threads',
  'POST /v1/configuration/reload',
  'POST /v1/policies/explain',
  'POST /v1/sessions',
  'POST /v1/sessions/{session}/reopen',
  'POST /v1/sessions/{session}/tasks',
];

describe('the OpenAPI document', () => {
  let api: ApiFixture;
  let document: Document;
  before(async () => {
    api = await openApi();
    document = (await ask(api.server, '/v1/openapi.json')).json();
  });
  after(() => api.close());

  const operations = (): [string, string, Operation][] =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, string, Operation] => [path, method, operation]),
    );

  it('is version 3.1 and has every path, each with a summary, an id, and its errors described', () => {
    assert.equal(document.openapi, '3.1.0');
    assert.deepEqual(
      operations()
        .map(([path, method]) => `${method.toUpperCase()} ${path}`)
        .sort(),
      expected,
    );
    const ids = operations().map(([, , { operationId }]) => operationId);
    assert.equal(new Set(ids).size, expected.length);
    for (const [path, method, { summary, responses, parameters }] of operations()) {
      assert.ok(summary !== undefined && summary.length > 8, path);
      for (const [status, { description, content }] of Object.entries(responses)) {
        assert.ok(
          description !== undefined && description.length > 5 && description !== 'Default Response',
          `${path} ${status}`,
        );
        if (Number(status) < 400) continue;
        assert.deepEqual(content?.['application/json']?.schema, { $ref: '#/components/schemas/Problem' }, path);
      }
      if (path !== '/v1/openapi.json')
        for (const status of ['400', '401', '403', '500']) assert.ok(responses[status], `${method} ${path} ${status}`);
      for (const [, name] of path.matchAll(/\{(\w+)\}/g))
        assert.ok(
          parameters?.some((parameter) => parameter.in === 'path' && parameter.name === name),
          path,
        );
    }
  });

  it('has every shape that it refers to, and none that nobody needs', () => {
    const text = JSON.stringify(document);
    const named = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]!));
    const there = Object.keys(document.components.schemas);
    for (const name of named) assert.ok(there.includes(name), name);
    const spoken = ['DaemonEvent', 'LostEvents', 'TaskView'];
    for (const name of there) assert.ok(named.has(name) || spoken.includes(name), name);
    assert.ok(!text.includes('__SCHEMA__'));
  });

  it('refuses unknown properties of requests in words that programs read', () => {
    const { schemas } = document.components;
    assert.equal(Reflect.get(schemas.SessionRequestInput!, 'additionalProperties'), false);
    assert.deepEqual(Reflect.get(schemas.SessionRequestInput!, 'required'), ['origin']);
  });

  it('is the one in docs/openapi.json', () => {
    const file = join(docs, 'openapi.json');
    if (isWriting) writeFileSync(file, `${JSON.stringify(document, undefined, 2)}\n`);
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), document, again);
  });

  it('has the paths that docs/api.md lists', () => {
    const file = join(docs, 'api.md');
    const [begin, end] = ['<!-- paths: made from the schemas -->\n', '\n<!-- end of paths -->'];
    const text = readFileSync(file, 'utf8');
    const from = text.indexOf(begin) + begin.length;
    const to = text.indexOf(end);
    assert.ok(from >= begin.length && to > 0, 'the marks are there');
    if (isWriting) writeFileSync(file, text.slice(0, from) + routeTable(document) + text.slice(to));
    else assert.equal(text.slice(from, to), routeTable(document), again);
  });
});
