/**
 * Where a session listens (a worker's part).
 *
 *   ADDR:PORT   NFS and MOUNT on that port, and no portmapper: clients name the port
 *   ADDR        NFS and MOUNT on ADDR:2049, and somebody on port 111 who says so:
 *                 our own portmapper on ADDR:111 (TCP and UDP), or, where rpcbind holds 111 on all addresses, rpcbind:
 *                 a registration there is right for every session's address, since all have 2049
 *
 * On an error nothing is left listening or registered.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type Clock, type Log, type Random, ViaductError } from '../base/mod.ts';
import { duplicateDescriptor } from '../native/mod.ts';
import {
  type Mapping,
  PortmapServer,
  portmapHolder,
  protocolNumber,
  registerWithRpcbind,
  unregister,
} from '../portmap/mod.ts';
import type { PeerPolicy, RpcServer } from '../rpc/mod.ts';
import type { HeldAddress, ListeningPlace } from './messages.ts';
import type { ListenRule } from './plan.ts';

export const nfsPort = 2049;
const portmapperPort = 111;
const nfs = { program: 100003, version: 3 };
const mount = { program: 100005, version: 3 };

export interface ListenOptions {
  readonly rule: ListenRule;
  /** The port of the session's last life, if it had one. */
  readonly port: number | undefined;
  /** Where it listens before it is open; of use if that is where it is to listen. */
  readonly listener?: HeldAddress | undefined;
  readonly server: RpcServer;
  readonly admit: PeerPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** For tests: where processes are listed. */
  readonly processes?: string;
}

export interface Listening {
  readonly place: ListeningPlace;
  /** Takes back what tells clients about the session; the server itself is its owner's to close. */
  close(): Promise<void>;
}

export async function openListeners(options: ListenOptions): Promise<Listening> {
  const { rule, server } = options;
  const wanted = rule.port === undefined ? nfsPort : rule.port || (options.port ?? 0);
  const { listener } = options;
  const isHeld = listener?.host === rule.host && listener.port === wanted;
  // Whoever holds it closes its own descriptor when we are ready.
  const copy = isHeld ? duplicateDescriptor(listener.descriptor) : -1;
  const { host, port } =
    copy >= 0
      ? await server.listen(rule.host, wanted, copy)
      : await listenNfs(server, rule.host, wanted, options.processes ?? '/proc');
  if (rule.port !== undefined) return { place: { host, port, portmapper: 'none' }, close: () => Promise.resolve() };
  return announce(options, { host, port });
}

async function listenNfs(
  server: RpcServer,
  host: string,
  port: number,
  processes: string,
): Promise<{ host: string; port: number }> {
  try {
    return await server.listen(host, port);
  } catch (error) {
    const isTaken = error instanceof ViaductError && error.code === 'ADDRESS_IN_USE';
    if (!isTaken || port !== nfsPort || !kernelServerRuns(processes)) throw error;
    throw new ViaductError('KERNEL_SERVER_IN_THE_WAY', {
      cause: `cannot listen on ${host}:${port}: this host’s kernel NFS server holds port ${port} on all addresses.`,
      remedy: `Stop it (systemctl stop nfs-server), give it one address (host= in /etc/nfs.conf), or listen on ${host}:PORT.`,
      from: error,
    });
  }
}

async function announce(options: ListenOptions, place: { host: string; port: number }): Promise<Listening> {
  const protocol = protocolNumber.tcp;
  const mappings: Mapping[] = [nfs, mount].map((service) => ({ ...service, protocol, port: place.port }));
  const { clock, log, random, admit } = options;
  const portmapper = new PortmapServer({ host: place.host, port: portmapperPort, mappings, clock, log, admit });
  try {
    await portmapper.listen();
    return { place: { ...place, portmapper: 'own' }, close: () => portmapper.close() };
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    if (error.code === 'PRIVILEGE_NEEDED') throw portmapperPrivilege(place.host, error);
    if (error.code !== 'ADDRESS_IN_USE') throw error;
    if ((await portmapHolder('127.0.0.1', { clock, random })) !== 'rpcbind') throw portmapperTaken(place.host, error);
  }
  const added = await registerWithRpcbind(mappings, { clock, random });
  log.info({ port: place.port }, 'rpcbind holds port 111; NFS and MOUNT are registered there');
  return {
    place: { ...place, portmapper: 'rpcbind' },
    close: async () => {
      await unregister(added, { clock, random }).catch((error: unknown) => {
        log.warn({ error }, 'the registration with rpcbind could not be taken back');
      });
    },
  };
}

function portmapperPrivilege(host: string, from: ViaductError): ViaductError {
  return new ViaductError('PRIVILEGE_NEEDED', {
    cause: `cannot listen on ${host}:111 for the portmapper: ports below 1024 need a privilege.`,
    remedy: `Run as root, or once: sysctl net.ipv4.ip_unprivileged_port_start=111; or listen on ${host}:2049, without a portmapper.`,
    from,
  });
}

function portmapperTaken(host: string, from: ViaductError): ViaductError {
  return new ViaductError('ADDRESS_IN_USE', {
    cause: `cannot listen on ${host}:111 for the portmapper: another program holds it, and it is not rpcbind.`,
    remedy: `Stop that program (ss -tulnp | grep :111), or listen on ${host}:2049, without a portmapper.`,
    from,
  });
}

/** The kernel's server shows as threads named nfsd without a command line. */
function kernelServerRuns(processes: string): boolean {
  try {
    return readdirSync(processes).some((name) => /^\d+$/.test(name) && isKernelServer(`${processes}/${name}`));
  } catch {
    return false;
  }
}

function isKernelServer(directory: string): boolean {
  try {
    return (
      readFileSync(`${directory}/comm`, 'latin1') === 'nfsd\n' && readFileSync(`${directory}/cmdline`).length === 0
    );
  } catch {
    return false;
  }
}
