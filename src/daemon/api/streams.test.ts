import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { limits } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { type ApiFixture, ask, openApi, someProgress } from './fixture.test.ts';

/** One who follows a path, and can stop reading. */
class Follower {
  text = '';
  isClosed = false;
  readonly socket: Socket;

  constructor(path: string, request: string) {
    this.socket = connect(path, () => this.socket.write(request));
    this.socket.on('data', (chunk) => {
      this.text += chunk;
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
    });
  }

  /** What the streams' messages say, without the framing of HTTP. */
  get messages(): { id?: string | undefined; event?: string | undefined; data: ReturnType<typeof JSON.parse> }[] {
    const lines = this.text.split('\n');
    const found: { id?: string; event?: string; data: unknown }[] = [];
    let next: { id?: string; event?: string } = {};
    for (const line of lines) {
      if (line.startsWith('id: ')) next = { ...next, id: line.slice(4) };
      if (line.startsWith('event: ')) next = { ...next, event: line.slice(7) };
      if (!line.startsWith('data: ')) continue;
      found.push({ ...next, data: JSON.parse(line.slice(6)) });
      next = {};
    }
    return found;
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

describe('events', () => {
  let api: ApiFixture;
  let followers: Follower[];
  const clock = new SimulatedClock();
  beforeEach(async () => {
    api = await openApi({ clock });
    followers = [];
  });
  afterEach(async () => {
    for (const { socket } of followers) socket.destroy();
    await api.close();
  });

  function follow(lastId?: string, path = '/v1/events'): Follower {
    const came = lastId === undefined ? '' : `last-event-id: ${lastId}\r\n`;
    const head = `GET ${path} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n${came}\r\n`;
    const follower = new Follower(api.server.socketPath, head);
    followers.push(follower);
    return follower;
  }
  const say = (message: string): void => api.manager.emit({ kind: 'session-state', message });
  const numbers = ({ messages }: Follower): unknown[] => messages.map(({ data }) => data.number ?? data.kind);

  it('are told to all who follow, and go on behind the last that was seen', async () => {
    const first = follow();
    const second = follow();
    await until(() => first.text.includes('200 OK') && second.text.includes('200 OK'));
    say('one');
    say('two\nlines');
    await until(() => first.messages.length === 2 && second.messages.length === 2);
    assert.equal(first.messages[1]!.data.message, 'two\nlines');
    const { id } = first.messages[0]!;
    first.socket.destroy();
    say('three');
    const again = follow(id);
    await until(() => again.messages.length === 2);
    assert.deepEqual(numbers(again), [2, 3]);
  });

  it('are said to be lost where they are not kept any more', async () => {
    const first = follow();
    await until(() => first.text.includes('200 OK'));
    say('one');
    await until(() => first.messages.length === 1);
    for (let i = 0; i < limits.daemonEvents + 1; i++) say('more');
    const late = follow(first.messages[0]!.id);
    await until(() => late.messages.length === limits.daemonEvents + 1);
    assert.equal(late.messages[0]!.event, 'lost');
    assert.match(late.messages[0]!.data.message, /events 2 to 2 /);
    assert.equal(late.messages[1]!.data.number, 3);
    for (const id of ['gone-1', '1', '-', `${'9'.repeat(40)}`]) {
      const other = follow(id);
      await until(() => other.messages.length > limits.daemonEvents);
      assert.equal(other.messages[0]!.event, 'lost', id);
    }
  });

  it('are caught up with, however much it is', async () => {
    const first = follow();
    await until(() => first.text.includes('200 OK'));
    say('one');
    await until(() => first.messages.length === 1);
    const many = 4 * (limits.apiStreamBytes / 10_000);
    for (let i = 0; i < many; i++) {
      say('x'.repeat(10_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const late = follow(first.messages[0]!.id);
    late.socket.once('data', () => say('last'));
    await until(() => late.isClosed || late.messages.at(-1)?.data.message === 'last');
    assert.deepEqual(
      numbers(late),
      Array.from(late.messages, (_, index) => index + 2),
    );
    assert.equal(late.isClosed, false);
  });

  it('that wait for one who comes back and does not read are not kept for it for ever', async () => {
    const first = follow();
    await until(() => first.text.includes('200 OK'));
    say('one');
    await until(() => first.messages.length === 1);
    for (let i = 0; i < limits.daemonEvents - 1; i++) {
      say('x'.repeat(2_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const sleeper = follow(first.messages[0]!.id);
    await until(() => sleeper.text.includes('200 OK'));
    sleeper.socket.pause();
    const cut = () => api.lines.filter((line) => line.includes('was cut off')).length;
    for (let i = 0; i < 20 && cut() === 0; i++) {
      await clock.advance(15_000);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.equal(cut(), 1);
    assert.ok(!first.isClosed);
  });

  it('keep quiet streams alive by comments', async () => {
    const one = follow();
    await until(() => one.text.includes('200 OK'));
    await clock.advance(15_000);
    await until(() => one.text.includes(': still here\n\n'));
    assert.equal(one.messages.length, 0);
  });

  it('are followed by so many at a time, tasks included', async () => {
    const all = Array.from({ length: limits.apiStreams }, () => follow());
    await until(() => all.every(({ text }) => text.includes('200 OK')));
    const refused = await ask(api.server, '/v1/events');
    assert.deepEqual([refused.status, refused.json().code], [503, 'DAEMON_BUSY']);
    await api.manager.create({ origin: '/a', name: 'a' });
    const headers = { accept: 'text/event-stream' };
    const task = { method: 'POST', body: '{"task":"flush"}', headers };
    assert.equal((await ask(api.server, '/v1/sessions/a/tasks', task)).status, 503);
    assert.equal(api.manager.running.length, 0);
    all[0]!.socket.destroy();
    let isTaken = false;
    while (!isTaken) {
      const next = follow();
      await until(() => next.text.includes('\r\n\r\n'));
      isTaken = next.text.includes('200 OK');
    }
  });

  it('cut off who does not read, within bounds, and nobody else', async () => {
    const reader = follow();
    const sleeper = follow();
    await until(() => reader.text.includes('200 OK') && sleeper.text.includes('200 OK'));
    sleeper.socket.pause();
    const message = 'x'.repeat(10_000);
    const cut = () => api.lines.some((line) => line.includes('was cut off'));
    let said = 0;
    while (!cut()) {
      say(message);
      said++;
      assert.ok(said < 1000, 'ten megabytes are not kept for one who does not read');
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => reader.messages.length === said);
    const metrics = (await ask(api.server, '/metrics')).text;
    assert.match(metrics, /^viaduct_api_streams_cut_off_total 1$/m);
    const bytes = Number(/^viaduct_api_streams_cut_off_bytes_total (\d+)$/m.exec(metrics)?.[1]);
    assert.ok(bytes > limits.apiStreamBytes && bytes < limits.apiStreamBytes + 50_000, `${bytes}`);
    assert.match(metrics, /^viaduct_api_streams 1$/m);
  });
});

describe('tasks', () => {
  let api: ApiFixture;
  beforeEach(async () => {
    api = await openApi();
    await api.manager.create({ origin: '/a', name: 'a' });
  });
  afterEach(() => api.close());
  const start = (body: object = { task: 'write-back' }) =>
    ask(api.server, '/v1/sessions/a/tasks', { method: 'POST', body: JSON.stringify(body) });

  it('begin at once and can be asked about until they end', async () => {
    const started = await start({ task: 'warm', file: '/x', what: 'whole' });
    assert.equal(started.status, 202);
    const { taskId } = started.json();
    const view = async () => (await ask(api.server, `/v1/tasks/${taskId}`)).json();
    assert.equal((await view()).state, 'running');
    const { task, onProgress, end } = api.manager.running[0]!;
    assert.deepEqual(task, { task: 'warm', file: '/x', what: 'whole' });
    onProgress(someProgress);
    assert.equal((await view()).progress.pendingBytes, 40);
    end.resolve({ outcome: 'incomplete', problems: ['p'] });
    await Promise.resolve();
    const ended = await view();
    assert.deepEqual([ended.state, ended.result], ['ended', { outcome: 'incomplete', problems: ['p'] }]);
    assert.ok(Date.parse(ended.endedAt) >= Date.parse(ended.startedAt));
  });

  it('are followed to their result, and go on when nobody follows', async () => {
    const headers = 'host: x\r\naccept: text/event-stream\r\ncontent-type: application/json';
    const body = '{"task":"write-back"}';
    const request = `POST /v1/sessions/a/tasks HTTP/1.1\r\n${headers}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const one = new Follower(api.server.socketPath, request);
    await until(() => one.messages.length === 1);
    const { onProgress, end } = api.manager.running[0]!;
    onProgress(someProgress);
    await until(() => one.messages.length === 2);
    one.socket.destroy();
    await until(() => one.isClosed);
    onProgress({ ...someProgress, pendingBytes: 1 });
    const id = one.messages[0]!.data.id;
    const two = new Follower(
      api.server.socketPath,
      `GET /v1/tasks/${id} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n`,
    );
    await until(() => two.messages.length === 1);
    assert.equal(two.messages[0]!.data.progress.pendingBytes, 1);
    end.reject(new Error('a bug'));
    await until(() => two.messages.length === 2);
    assert.deepEqual(
      one.messages.map(({ event }) => event),
      ['started', 'progress'],
    );
    assert.deepEqual(
      two.messages.map(({ event }) => event),
      ['progress', 'error'],
    );
    assert.equal(two.messages[1]!.data.error.code, 'UNEXPECTED');
    two.socket.destroy();
  });

  it('of others are known from the events', async () => {
    const { manager, server } = api;
    const session = manager.list()[0]!.id;
    manager.emit({ kind: 'task-started', session, taskId: 't9', task: { task: 'flush' } });
    manager.emit({ kind: 'task-progress', session, taskId: 't9', progress: someProgress });
    assert.equal((await ask(server, '/v1/tasks/t9')).json().progress.state, 'writing');
    manager.emit({ kind: 'task-ended', session, taskId: 't9', result: { outcome: 'done', problems: [] } });
    assert.equal((await ask(server, '/v1/tasks/t9')).json().result.outcome, 'done');
  });

  it('are kept to a number, the latest; those under way are not forgotten', async () => {
    const { taskId } = (await start()).json();
    for (let i = 0; i < limits.apiTasks + 10; i++) {
      api.manager.emit({ kind: 'task-started', session: 's', taskId: `x${i}` });
      api.manager.emit({ kind: 'task-ended', session: 's', taskId: `x${i}` });
    }
    const ids = (await ask(api.server, '/v1/tasks')).json().map((view: { id: string }) => view.id);
    assert.equal(ids.length, limits.apiTasks);
    assert.equal(ids[0], taskId);
    assert.equal(ids.at(-1), `x${limits.apiTasks + 9}`);
  });

  it('of others that are under way are not forgotten either, nor those who follow them', async () => {
    api.manager.emit({ kind: 'task-started', session: 's', taskId: 'old', task: { task: 'flush' } });
    const head = 'GET /v1/tasks/old HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n';
    const one = new Follower(api.server.socketPath, head);
    await until(() => one.messages.length === 1);
    for (let i = 0; i < limits.apiTasks + 1; i++) {
      api.manager.emit({ kind: 'task-started', session: 's', taskId: `x${i}` });
      api.manager.emit({ kind: 'task-ended', session: 's', taskId: `x${i}` });
    }
    assert.equal((await ask(api.server, '/v1/tasks/old')).status, 200);
    api.manager.emit({ kind: 'task-ended', session: 's', taskId: 'old', result: { outcome: 'done', problems: [] } });
    await until(() => one.isClosed || one.text.includes('\r\n0\r\n'));
    assert.equal(one.messages.at(-1)?.event, 'result');
    one.socket.destroy();
  });

  it('refuse more than may be under way', async () => {
    for (let i = 0; i < limits.apiTasks; i++) assert.equal((await start()).status, 202);
    const refused = await start();
    assert.deepEqual([refused.status, refused.json().code], [503, 'DAEMON_BUSY']);
    api.manager.running[0]!.end.resolve({ outcome: 'done', problems: [] });
    await Promise.resolve();
    assert.equal((await start()).status, 202);
  });
});
