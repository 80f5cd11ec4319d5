/** What stands in the way of listening on 2049 and 111, and who it is. */
import { createSocket } from 'node:dgram';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { systemCode } from '../../base/mod.ts';
import { fail, ok, type Probe, warn } from './probe.ts';

/** An address that nothing but a wildcard socket, or another Viaduct, can be on. */
const testAddress = '127.0.0.253';
const firstPort = '/proc/sys/net/ipv4/ip_unprivileged_port_start';

export const networkProbes: readonly Probe[] = [
  { name: 'privilege for port 111', look: lookAtPrivilege },
  { name: 'port 2049', look: () => lookAtPort(2049) },
  { name: 'port 111', look: lookAtPortmapper },
  { name: 'kernel NFS server', look: lookAtKernelServer },
  { name: 'TCP buffers', look: lookAtBuffers },
];

async function lookAtPrivilege() {
  if (process.getuid?.() === 0) return ok('root');
  const first = Number(await readFile(firstPort, 'utf8'));
  if (first <= 111) return ok(`unprivileged ports begin at ${first}`);
  return warn(
    `ports below ${first} need root`,
    'sysctl net.ipv4.ip_unprivileged_port_start=111, or listen on ADDR:PORT.',
  );
}

async function lookAtPort(port: number) {
  const code = await tryTcp(port);
  if (code === undefined) return ok('free');
  if (code === 'EACCES') return warn('may not be bound by this user', 'See "privilege for port 111".');
  if (code !== 'EADDRINUSE') return warn(`cannot be bound: ${code}`, 'None known.');
  const holder = await holderOf(port);
  return fail(
    `held on all addresses by ${holder}`,
    'Stop that program or give it one address; or listen on ADDR:PORT.',
  );
}

async function lookAtPortmapper() {
  const codes = [await tryTcp(111), await tryUdp(111)];
  if (codes.every((code) => code === undefined)) return ok('free (TCP and UDP): Viaduct answers there itself');
  if (codes.includes('EADDRINUSE')) {
    const holder = await holderOf(111);
    if (/rpcbind|systemd/.test(holder)) return ok(`held by ${holder}: Viaduct registers with rpcbind (as root)`);
    return fail(
      `held on all addresses by ${holder}`,
      'Stop that program, or listen on ADDR:PORT, without a portmapper.',
    );
  }
  return warn(
    `cannot be bound: ${codes.find((code) => code !== undefined)}`,
    'See "privilege for port 111"; ADDR:PORT needs none.',
  );
}

async function lookAtKernelServer() {
  for (const pid of await processes()) {
    const [comm, line] = await Promise.all([readText(`/proc/${pid}/comm`), readText(`/proc/${pid}/cmdline`)]);
    if (comm === 'nfsd\n' && line === '') {
      return fail(
        'runs, and holds port 2049 on all addresses',
        'systemctl stop nfs-server, or set host= in /etc/nfs.conf; or listen on ADDR:PORT.',
      );
    }
  }
  return ok('does not run');
}

async function lookAtBuffers() {
  const largest = Number((await readFile('/proc/sys/net/ipv4/tcp_rmem', 'utf8')).trim().split(/\s+/)[2]);
  const enough = 4 * 1024 * 1024;
  if (largest >= enough) return ok(`a connection may hold ${largest >> 20} MiB`);
  return warn(
    `a connection may hold only ${largest >> 10} KiB, which slows down long links`,
    `sysctl net.ipv4.tcp_rmem="4096 131072 ${6 * 1024 * 1024}"`,
  );
}

function tryTcp(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(systemCode(error) ?? error.message));
    server.listen(port, testAddress, () => server.close(() => resolve(undefined)));
  });
}

function tryUdp(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', (error) => resolve(systemCode(error) ?? error.message));
    socket.bind(port, testAddress, () => socket.close(() => resolve(undefined)));
  });
}

/** `name (pid N)` of a process that holds the port; needs root for other users' processes. */
async function holderOf(port: number): Promise<string> {
  const inodes = new Set<string>();
  for (const table of ['tcp', 'tcp6', 'udp', 'udp6']) {
    for (const line of (await readText(`/proc/net/${table}`)).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const isListening = table.startsWith('udp') || fields[3] === '0A';
      if (isListening && Number.parseInt(fields[1]?.split(':')[1] ?? '', 16) === port && fields[9] !== undefined)
        inodes.add(`socket:[${fields[9]}]`);
    }
  }
  for (const pid of await processes()) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of descriptors) {
      const link = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      if (inodes.has(link)) return `${(await readText(`/proc/${pid}/comm`)).trim()} (pid ${pid})`;
    }
  }
  return inodes.size > 0 ? 'the kernel or a process of another user' : 'an unknown program';
}

async function processes(): Promise<string[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
}

function readText(path: string): Promise<string> {
  return readFile(path, 'latin1').catch(() => '');
}
