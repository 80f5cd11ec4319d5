/** Asking a portmapper (RFC 1833 3), over TCP or UDP, with a time limit. */
import { type Clock, type Random, silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { callDatagram, type Procedure, RpcClient } from '../rpc/mod.ts';
import { nobody } from '../vfs/mod.ts';
import {
  type Mapping,
  type Protocol,
  portmapPort,
  portmapProcedures,
  portmapProgram,
  protocolNumber,
} from './protocol.ts';

export interface PortmapCallOptions {
  /** The portmapper's own port; default 111. */
  readonly port?: number;
  /** How it is asked, which is not what it is asked about; default TCP. */
  readonly transport?: Protocol;
  readonly timeoutMs?: number;
  readonly privilegedPort?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
}

const defaultTimeoutMs = 5000;

export const portmapClient = {
  /** The port of a service, 0 if it is not registered. Rejects with ORIGIN_UNREACHABLE, TIMED_OUT or RPC_UNAVAILABLE. */
  getPort(
    host: string,
    program: number,
    version: number,
    protocol: Protocol,
    options: PortmapCallOptions = {},
  ): Promise<number> {
    const wanted = { program, version, protocol: protocolNumber[protocol], port: 0 };
    return callPortmap(host, portmapProcedures.getPort, wanted, options);
  },

  dump(host: string, options: PortmapCallOptions = {}): Promise<readonly Mapping[]> {
    return callPortmap(host, portmapProcedures.dump, undefined, options);
  },
};

export async function callPortmap<Arguments, Reply>(
  host: string,
  procedure: Procedure<Arguments, Reply>,
  args: Arguments,
  options: PortmapCallOptions,
  program: { readonly program: number; readonly version: number } = portmapProgram,
): Promise<Reply> {
  const port = options.port ?? portmapPort;
  const clock = options.clock ?? systemClock;
  const random = options.random ?? systemRandom;
  const deadlineMs = options.timeoutMs ?? defaultTimeoutMs;
  if (options.transport === 'udp') {
    return callDatagram(program, procedure, args, { host, port, deadlineMs, clock, random });
  }
  const client = new RpcClient({
    host,
    port,
    privilegedPort: options.privilegedPort,
    unreachable: 'fail',
    clock,
    random,
    log: silentLog,
  });
  try {
    return await client.call(program, procedure, args, { credential: nobody, deadlineMs });
  } finally {
    await client.close();
  }
}
