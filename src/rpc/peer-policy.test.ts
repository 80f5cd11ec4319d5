import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { silentLog, systemClock } from '../base/mod.ts';
import { eventually, RawPeer, rawCall, sysBody, TestService } from '../testing/mod.ts';
import { PeerPolicy } from './peer-policy.ts';
import { RpcServer } from './server.ts';
import { readKernelSocketTable, socketOwner } from './socket-owner.ts';

const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const row = (local: string, remote: string, uid: number, inode: number): string =>
  `   0: ${local} ${remote} 01 00000000:00000000 00:00000000 00000000 ${String(uid).padStart(5)}        0 ${inode} 1 0000\n`;
const ends = { localAddress: '127.0.0.2', localPort: 2049, remoteAddress: '127.0.0.1', remotePort: 0x8b5c };
const table =
  (text: string, text6 = '') =>
  (name: 'tcp' | 'tcp6') =>
    Promise.resolve(header + (name === 'tcp' ? text : text6));

test('networks: loopback always, others as allowed', () => {
  const policy = new PeerPolicy({ networks: ['10.1.0.0/16', '192.0.2.7', 'fd00::/8'] });
  const allowed = ['127.0.0.1', '127.9.9.9', '::1', '10.1.255.1', '192.0.2.7', 'fd12::1'];
  const refused = ['10.2.0.1', '192.0.2.8', 'fe80::1', '2001:db8::1', '', 'nonsense'];
  assert.deepEqual(
    allowed.filter((address) => !policy.allows(address)),
    [],
  );
  assert.deepEqual(
    refused.filter((address) => policy.allows(address)),
    [],
  );
  for (const bad of ['10.0.0.0/33', '10.0.0.0/x', 'host', '10.0.0.0/8/8', '', 'fd00::/129']) {
    assert.throws(() => new PeerPolicy({ networks: [bad] }), { code: 'CONFIGURATION_INVALID' }, bad);
  }
});

test('the owner is the row of the peer end, with an inode', async () => {
  const mine = row('0200007F:0801', '0100007F:8B5C', 0, 11);
  const theirs = row('0100007F:8B5C', '0200007F:0801', 1000, 12);
  assert.equal(await socketOwner(ends, table(mine + theirs)), 1000);
  assert.equal(await socketOwner(ends, table(mine)), undefined, 'our own row is not the peer');
  const orphan = row('0100007F:8B5C', '0200007F:0801', 0, 0);
  assert.equal(await socketOwner(ends, table(mine + orphan)), undefined, 'a closed socket is not root');
  const mapped = row('0000000000000000FFFF00000100007F:8B5C', '0000000000000000FFFF00000200007F:0801', 1001, 13);
  assert.equal(await socketOwner(ends, table(mine, mapped)), 1001, 'an IPv6 socket that speaks IPv4');
  const six = { localAddress: '::1', localPort: 2049, remoteAddress: '::1', remotePort: 0x8b5c };
  const loopback = '00000000000000000000000001000000';
  assert.equal(await socketOwner(six, table('', row(`${loopback}:8B5C`, `${loopback}:0801`, 1002, 14))), 1002);
});

test('claims by owner', async () => {
  const claims = async (uid: number | undefined, port: number, more = {}): Promise<boolean[]> => {
    const text =
      uid === undefined
        ? ''
        : row(`0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`, '0200007F:0801', uid, 5);
    const check = await new PeerPolicy({ readSocketTable: table(text), ...more }).claims({ ...ends, remotePort: port });
    return [check(0), check(1000), check(65534)];
  };
  assert.deepEqual(await claims(1000, 40_000), [false, true, true]);
  assert.deepEqual(await claims(1001, 40_000), [false, false, true]);
  assert.deepEqual(await claims(undefined, 40_000), [false, false, true], 'unknown owner');
  assert.deepEqual(await claims(0, 40_000), [true, true, true], 'root');
  assert.deepEqual(await claims(undefined, 1023), [true, true, true], 'a privileged port');
  assert.deepEqual(await claims(1001, 40_000, { checkLoopbackOwner: false }), [true, true, true], 'switched off');
});

test('the kernel table knows our own connections', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  const uid = await socketOwner(
    { localAddress: localAddress!, localPort: localPort!, remoteAddress: remoteAddress!, remotePort: remotePort! },
    readKernelSocketTable,
  );
  assert.equal(uid, process.getuid!());
});

test('a claim of another uid is AUTH_BADCRED; the table is read once a connection', async (t) => {
  let reads = 0;
  const service = new TestService();
  let port = 0;
  const readSocketTable = async (): Promise<string> => {
    reads++;
    // The peer's row as the kernel shows it, but owned by 1000.
    const text = await readKernelSocketTable('tcp');
    return text.replaceAll(/^(.*:[0-9A-F]{4} \S+ 01 \S+ \S+ \S+ +)\d+/gm, '$11000');
  };
  const server = new RpcServer({
    programs: [service.program],
    clock: systemClock,
    log: silentLog,
    admit: new PeerPolicy({ readSocketTable }),
  });
  t.after(() => server.close(0));
  ({ port } = await server.listen('127.0.0.1', 0));
  const raw = await RawPeer.connect(port);
  t.after(() => raw.close());
  const ask = async (xid: number, uid: number): Promise<number[] | undefined> => {
    raw.send(rawCall({ xid, procedure: 9, flavor: 1, credential: sysBody(uid, 0) }));
    return raw.words();
  };
  assert.deepEqual(await ask(1, 1000), [1, 1, 0, 0, 0, 0, 1000]);
  assert.deepEqual(await ask(2, 0), [2, 1, 1, 1, 1], 'AUTH_ERROR, AUTH_BADCRED');
  assert.deepEqual(await ask(3, 1000), [3, 1, 0, 0, 0, 0, 1000]);
  assert.equal(reads, 1);
});

test('a call sent by another user who closes at once is not taken for root', {
  skip: process.getuid?.() !== 0,
}, async (t) => {
  const service = new TestService();
  const server = new RpcServer({
    programs: [service.program],
    clock: systemClock,
    log: silentLog,
    admit: new PeerPolicy(),
  });
  t.after(() => server.close(0));
  const { port } = await server.listen('127.0.0.1', 0);
  const call = rawCall({ procedure: 3, flavor: 1, credential: sysBody(0, 0), arguments: Buffer.from([0, 0, 0, 1]) });
  const mark = Buffer.alloc(4);
  mark.writeUInt32BE(0x8000_0000 + call.length);
  const bytes = [...mark, ...call].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf '${bytes}' >&3; exec 3>&-`;
  for (let i = 0; i < 5; i++)
    await once(spawn('bash', ['-c', script], { uid: 65534, gid: 65534, stdio: 'ignore' }), 'exit');
  await eventually(() => server.stats().accepted === 5 && server.stats().connections === 0, 'all have come and gone');
  assert.equal(service.counter, 0);
});

test('a peer of a network that is not allowed is turned away', async (t) => {
  const admit = new PeerPolicy();
  const refusing = { allows: () => false, claims: admit.claims.bind(admit) } as unknown as PeerPolicy;
  const server = new RpcServer({ programs: [], clock: systemClock, log: silentLog, admit: refusing });
  t.after(() => server.close(0));
  const { port } = await server.listen('127.0.0.1', 0);
  const raw = await RawPeer.connect(port);
  assert.equal(await raw.words(), undefined);
  assert.equal(server.stats().refused, 1);
});
