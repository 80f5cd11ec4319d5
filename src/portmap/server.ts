/**
 * A portmapper of one address (RFC 1833 3), over TCP and UDP: tells clients that take no port, as QEMU's nfs:// driver, where
 * NFS and MOUNT are.
 *
 * It has a fixed table, and what local root adds: SET and UNSET are answered with TRUE only to loopback peers with a source port
 * below 1024, and never touch the fixed table. CALLIT, by which a stranger lets us call others, is met with the silence that RFC
 * 1833 3.2 prescribes for failed indirect calls.
 */
import type { Clock, Log } from '../base/mod.ts';
import {
  DatagramServer,
  type ListenAddress,
  noReply,
  type PeerPolicy,
  type RpcCall,
  type RpcProgram,
  RpcServer,
} from '../rpc/mod.ts';
import {
  type Mapping,
  mappingsMaximum,
  portmapPort,
  portmapProcedures,
  portmapProgram,
  protocolNumber,
} from './protocol.ts';

export interface PortmapServerOptions {
  readonly host: string;
  /** Default 111; 0 for any. */
  readonly port?: number;
  readonly mappings: readonly Mapping[];
  readonly clock: Clock;
  readonly log: Log;
  readonly admit?: PeerPolicy | undefined;
}

const bindAttempts = 16;

export class PortmapServer {
  readonly #options: PortmapServerOptions;
  #tcp: RpcServer | undefined;
  #udp: DatagramServer | undefined;

  constructor(options: PortmapServerOptions) {
    this.#options = options;
  }

  /** Rejects with ADDRESS_IN_USE, PRIVILEGE_NEEDED or ADDRESS_INVALID; then nothing is left listening. */
  async listen(): Promise<ListenAddress> {
    const wanted = this.#options.port ?? portmapPort;
    for (let attempt = 1; ; attempt++) {
      const mappings = [...this.#options.mappings];
      const programs = [portmapService(mappings)];
      const { clock, log, admit, host } = this.#options;
      const tcp = new RpcServer({ programs, clock, log, admit });
      const udp = new DatagramServer({ programs, log, admit });
      const address = await tcp.listen(host, wanted);
      try {
        await udp.listen(host, address.port);
      } catch (error) {
        await tcp.close(0);
        // A port that is free for TCP may be taken for UDP: another one, if any will do.
        if (wanted !== 0 || attempt === bindAttempts) throw error;
        continue;
      }
      // rpcinfo and libtirpc ask a portmapper for the portmapper first.
      for (const protocol of Object.values(protocolNumber)) {
        mappings.push({ ...portmapProgram, protocol, port: address.port });
      }
      this.#tcp = tcp;
      this.#udp = udp;
      return address;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#tcp?.close(), this.#udp?.close()]);
  }
}

/** The program itself; TCP and UDP share one table. */
function portmapService(fixed: readonly Mapping[]): RpcProgram {
  const added: Mapping[] = [];
  const all = (): readonly Mapping[] => [...fixed, ...added];
  const find = (wanted: Mapping): Mapping | undefined => all().find((mapping) => sameService(mapping, wanted));
  const set = (call: RpcCall, mapping: Mapping): boolean => {
    if (!localRoot(call) || find(mapping) !== undefined || added.length >= mappingsMaximum / 2) return false;
    added.push(mapping);
    return true;
  };
  const unset = (call: RpcCall, wanted: Mapping): boolean => {
    if (!localRoot(call)) return false;
    const before = added.length;
    // All protocols of the version go (RFC 1833 3.2: "prot" and "port" are ignored).
    const left = added.filter((mapping) => mapping.program !== wanted.program || mapping.version !== wanted.version);
    added.splice(0, added.length, ...left);
    return left.length < before;
  };
  const { getPort, dump, callIt } = portmapProcedures;
  return {
    ...portmapProgram,
    name: 'portmap',
    procedures: [
      undefined,
      { procedure: portmapProcedures.set, handle: set },
      { procedure: portmapProcedures.unset, handle: unset },
      { procedure: getPort, handle: (_call: RpcCall, wanted: Mapping) => find(wanted)?.port ?? 0 },
      { procedure: dump, handle: all },
      { procedure: callIt, handle: () => noReply },
    ],
  };
}

function sameService(one: Mapping, other: Mapping): boolean {
  return one.program === other.program && one.version === other.version && one.protocol === other.protocol;
}

function localRoot(call: RpcCall): boolean {
  return call.peerPort < 1024 && (call.peerAddress.startsWith('127.') || call.peerAddress === '::1');
}
