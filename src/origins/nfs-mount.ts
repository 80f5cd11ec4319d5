/**
 * From `nfs://host[:port]/path` to a root handle: which ports, then MNT.
 *
 *     port given    NFS there.     MOUNT: mountport, else on the same port (as Viaduct serves it), else the portmapper's answer
 *     no port       NFS: the portmapper's answer, else 2049.    MOUNT: mountport, else the portmapper's answer, else the NFS port
 *
 * With a port given, the portmapper is asked last: it may belong to another server of the same host, whose handles mean nothing
 * to the one that was named.
 */
import { type Clock, type Log, type Random, silentLog, ViaductError } from '../base/mod.ts';
import { type MountReply, MountStatus, mountClient, mountProgram, mountStatusName } from '../mount3/mod.ts';
import { nfsProgram } from '../nfs3/mod.ts';
import { portmapClient } from '../portmap/mod.ts';
import { RpcClient } from '../rpc/mod.ts';
import type { Credential, FileHandle } from '../vfs/mod.ts';
import { formatOrigin, type NfsAddress } from './address.ts';

export interface MountContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly credential: Credential;
  /** Milliseconds for each step. */
  readonly timeoutMs: number;
  readonly privilegedPort: boolean;
  /** The portmapper's port; 111 outside of tests. */
  readonly portmapPort?: number | undefined;
}

export interface Mounted {
  readonly root: FileHandle;
  readonly nfsPort: number;
}

const nfsDefaultPort = 2049;
const authNone = 0;
const authSys = 1;

/** Rejects with ORIGIN_UNREACHABLE, ORIGIN_REFUSED, TIMED_OUT, RPC_UNAVAILABLE or PRIVILEGE_NEEDED. */
export async function mountOrigin(address: NfsAddress, context: MountContext): Promise<Mounted> {
  const nfsPort = address.port ?? ((await askPort(address, context, nfsProgram)) || nfsDefaultPort);
  for await (const mountPort of mountPorts(address, nfsPort, context)) {
    const reply = await mnt(address, mountPort, context);
    if (reply === undefined) continue;
    return { root: mountedRoot(address, reply, context.privilegedPort), nfsPort };
  }
  throw new ViaductError('ORIGIN_UNREACHABLE', {
    cause: `${formatOrigin(address)}: no MOUNT service (version 3, TCP) was found for the NFS server on port ${nfsPort}`,
    remedy: 'Add ?mountport=N to the address, or make the portmapper (port 111) of the server reachable.',
  });
}

async function* mountPorts(address: NfsAddress, nfsPort: number, context: MountContext): AsyncGenerator<number> {
  if (address.mountPort !== undefined) {
    yield address.mountPort;
    return;
  }
  if (address.port !== undefined) yield nfsPort;
  const mapped = await askPort(address, context, mountProgram);
  if (mapped !== 0 && !(address.port !== undefined && mapped === nfsPort)) yield mapped;
  if (address.port === undefined && mapped !== nfsPort) yield nfsPort;
}

/** 0 if there is no portmapper, or it does not know. */
async function askPort(
  address: NfsAddress,
  { clock, random, timeoutMs, portmapPort, log }: MountContext,
  { program, version }: { readonly program: number; readonly version: number },
): Promise<number> {
  const options = { clock, random, timeoutMs, ...(portmapPort === undefined ? {} : { port: portmapPort }) };
  try {
    return await portmapClient.getPort(address.host, program, version, 'tcp', options);
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    log.debug({ host: address.host, program, cause: error.message }, 'the portmapper could not be asked');
    return 0;
  }
}

/** The reply to MNT; undefined if the port does not serve MOUNT. */
async function mnt(address: NfsAddress, port: number, context: MountContext): Promise<MountReply | undefined> {
  const { clock, random, credential, timeoutMs, privilegedPort } = context;
  const { host } = address;
  // Its failure is the caller's to report.
  const client = new RpcClient({ host, port, privilegedPort, clock, log: silentLog, random, unreachable: 'fail' });
  try {
    return await mountClient.mnt(client, address.path, { credential, deadlineMs: timeoutMs });
  } catch (error) {
    const isElsewhere = error instanceof ViaductError && error.code === 'RPC_UNAVAILABLE';
    if (!isElsewhere || address.mountPort !== undefined) throw error;
    return undefined;
  } finally {
    await client.close();
  }
}

function mountedRoot(address: NfsAddress, reply: MountReply, privilegedPort: boolean): FileHandle {
  if (reply.status !== 0) {
    throw new ViaductError('ORIGIN_REFUSED', {
      cause: `${formatOrigin(address)}: the server answered MNT with ${mountStatusName(reply.status)}`,
      remedy: remedyFor(reply.status, privilegedPort),
    });
  }
  const { flavors, object } = reply;
  if (object.length === 0) {
    throw new ViaductError('ORIGIN_REFUSED', {
      cause: `${formatOrigin(address)}: the server answered MNT with an empty handle`,
      remedy: 'Report this with the name and version of the server.',
    });
  }
  // Some servers give no list: then AUTH_SYS, as RFC 2623 2.3 has it.
  if (flavors.length > 0 && !flavors.includes(authSys) && !flavors.includes(authNone)) {
    throw new ViaductError('ORIGIN_REFUSED', {
      cause: `${formatOrigin(address)}: the export accepts none of the ways to authenticate that Viaduct has (it lists ${flavors.join(', ')})`,
      remedy: 'Let the export accept AUTH_SYS (option "sec=sys").',
    });
  }
  return object;
}

function remedyFor(status: number, privilegedPort: boolean): string {
  switch (status) {
    case MountStatus.ACCES: {
      // Some servers answer this for a path that they do not export.
      const check = 'Check the path, and that the export admits this host.';
      if (privilegedPort) return `${check} A source port below 1024 was used.`;
      return `${check} It may demand a source port below 1024: run as root with --privileged-port (or ?privileged-port=yes in the address), or give the export the option "insecure".`;
    }
    case MountStatus.PERM:
      return 'Check that the export admits this host and this user.';
    case MountStatus.NOENT:
      return 'Check the path: the server has no such export (`showmount -e HOST` lists them).';
    case MountStatus.NOTDIR:
      return 'Give the path of a directory.';
    case MountStatus.NAMETOOLONG:
      return 'Give a shorter path: MOUNT allows 1024 bytes.';
    default:
      return 'Look into the log of the server.';
  }
}
