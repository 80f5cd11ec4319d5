import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';

const possible = process.getuid?.() === 0 && existsSync('/usr/sbin/rpcbind') && existsSync('/usr/bin/unshare');

/** Runs in a network and a /run of its own, beside a real rpcbind. */
const script = `
  import { portmapClient, portmapHolder, PortmapServer, registerWithRpcbind, unregister } from '${import.meta.dirname}/mod.ts';
  import { silentLog, systemClock } from '${import.meta.dirname}/../base/mod.ts';
  const result = {};
  const nfs = { program: 100003, version: 3, protocol: 6, port: 2049 };
  for (let i = 0; (result.holder = await portmapHolder()) === 'nobody' && i < 200; i++) await new Promise((r) => setTimeout(r, 20));
  const added = await registerWithRpcbind([nfs]);
  result.added = added.length;
  result.addedAgain = (await registerWithRpcbind([nfs])).length;
  result.port = await portmapClient.getPort('127.0.0.1', 100003, 3, 'tcp');
  result.portByUdp = await portmapClient.getPort('127.0.0.1', 100003, 3, 'tcp', { transport: 'udp' });
  result.other = await registerWithRpcbind([{ ...nfs, port: 3000 }]).catch((error) => error.code);
  const server = new PortmapServer({ host: '127.0.0.2', mappings: [nfs], clock: systemClock, log: silentLog });
  result.beside = await server.listen().catch((error) => error.code);
  await unregister(added);
  result.after = await portmapClient.getPort('127.0.0.1', 100003, 3, 'tcp');
  console.log(JSON.stringify(result));
`;

test('a real rpcbind takes our registrations and gives them back', { skip: !possible }, () => {
  const inside = `ip link set lo up && mount -t tmpfs none /run && { rpcbind -f & } && "$@"; kill $!`;
  const run = spawnSync(
    'unshare',
    ['--net', '--mount', 'sh', '-c', inside, 'sh', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8', timeout: 20_000 },
  );
  assert.equal(run.stderr.replaceAll(/^rpcbind:.*\n/gm, ''), '');
  assert.deepEqual(JSON.parse(run.stdout), {
    holder: 'rpcbind',
    added: 1,
    addedAgain: 0,
    port: 2049,
    portByUdp: 2049,
    other: 'ADDRESS_IN_USE',
    beside: 'ADDRESS_IN_USE',
    after: 0,
  });
});
