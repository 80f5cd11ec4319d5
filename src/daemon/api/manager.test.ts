import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectDaemon } from '../client/mod.ts';
import { house, waiting } from '../manager/fixture.test.ts';
import { parseExposition } from '../metrics/exposition.test.ts';
import { openApi, servicesFor } from './fixture.test.ts';

test('the API, its client and its metrics work on true sessions', async (t) => {
  const home = house(t);
  const manager = await home.open();
  const api = await openApi({ services: servicesFor(manager) });
  t.after(() => api.close());
  const client = (await connectDaemon({ runtimeDirectory: api.directory }))!;
  const settings = { ...waiting };
  const view = await client.createSession({ name: 'true', origin: home.images, listen: '127.0.0.1:0', settings });
  assert.equal(view.state, 'running');
  await home.client(view);

  const detail = await client.session('true');
  assert.equal(detail.status?.data?.writeBack?.policy, 'write-back');
  assert.equal(detail.settings.find(({ key }) => key === 'write-back-after')?.value, '1h');

  const id = await client.startTask('true', { task: 'write-back' });
  let last: string | undefined;
  for await (const told of client.followTask(id)) last = told.result?.outcome;
  assert.equal(last, 'done');
  assert.equal((await client.tasks()).length, 1, 'the manager calls it what the API calls it');

  const families = parseExposition(await client.metrics());
  const up = families.get('viaduct_session_up')!.series;
  assert.deepEqual(
    up.map(({ labels, value }) => [labels.session, value]),
    [['true', 1]],
  );
  const calls = families.get('viaduct_call_duration_seconds')!.series.map(({ labels }) => labels.procedure);
  assert.ok(calls.includes('fsinfo'), `${[...new Set(calls)]}`);
  assert.ok(families.get('viaduct_link_bytes_total')!.series.some(({ value }) => value > 0));

  const threads = await client.threads();
  assert.ok(threads.some(({ name }) => name === 'main'));
  const [sample] = await client.samples();
  assert.equal(sample?.isAnswering, true);
  await assert.rejects(client.createSession({ name: 'bad', origin: home.images, settings: { sise: 1 } }), {
    code: 'CONFIGURATION_INVALID',
  });
  assert.equal((await client.closeSession('true')).name, 'true');
  assert.deepEqual(await client.sessions(), []);
});
