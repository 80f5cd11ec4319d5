/**
 * Registration with the rpcbind of this host, for where it holds port 111 on all addresses, and the question who holds that port.
 *
 * rpcbind believes SET only from loopback with a source port below 1024, so this needs root (PRIVILEGE_NEEDED without). A service
 * that somebody else has registered on another port is left alone and named. UNSET takes a version away for all protocols at
 * once (RFC 1833 3.2), so `unregister` puts back nothing and is given only what `registerWithRpcbind` returned.
 */
import { ViaductError } from '../base/mod.ts';
import { callPortmap, type PortmapCallOptions, portmapClient } from './client.ts';
import { type Mapping, nullProcedure, portmapProcedures, portmapProgram } from './protocol.ts';

const loopback = '127.0.0.1';

/** Registers what is not registered yet; returns what it added. */
export async function registerWithRpcbind(
  mappings: readonly Mapping[],
  options: PortmapCallOptions = {},
): Promise<readonly Mapping[]> {
  const present = await portmapClient.dump(loopback, options);
  const missing = mappings.filter((wanted) => !present.some((mapping) => sameService(mapping, wanted)));
  for (const wanted of mappings) {
    const other = present.find((mapping) => sameService(mapping, wanted) && mapping.port !== wanted.port);
    if (other !== undefined) throw occupied(wanted, other);
  }
  const added: Mapping[] = [];
  for (const mapping of missing) {
    if (!(await callPortmap(loopback, portmapProcedures.set, mapping, { ...options, privilegedPort: true }))) {
      await unregister(added, options);
      throw new ViaductError('PRIVILEGE_NEEDED', {
        cause: `rpcbind did not accept program ${mapping.program} version ${mapping.version} on port ${mapping.port}`,
        remedy:
          'Run as root, or end rpcbind (systemctl stop rpcbind.socket rpcbind) so that Viaduct answers on port 111.',
      });
    }
    added.push(mapping);
  }
  return added;
}

/** Takes registrations away; those that are gone already are no error. */
export async function unregister(mappings: readonly Mapping[], options: PortmapCallOptions = {}): Promise<void> {
  for (const mapping of mappings) {
    await callPortmap(loopback, portmapProcedures.unset, mapping, { ...options, privilegedPort: true });
  }
}

/** Who answers on port 111 of `host`: `portmapper` is one that is not rpcbind (ours, for one); `other` does not speak RPC. */
export async function portmapHolder(
  host: string = loopback,
  options: PortmapCallOptions = {},
): Promise<'nobody' | 'rpcbind' | 'portmapper' | 'other'> {
  const quick = { timeoutMs: 2000, ...options };
  try {
    await callPortmap(host, nullProcedure, undefined, quick);
  } catch (error) {
    return error instanceof ViaductError && error.code === 'ORIGIN_UNREACHABLE' && /ECONNREFUSED/.test(error.message)
      ? 'nobody'
      : 'other';
  }
  try {
    // rpcbind's own protocol is versions 3 and 4 of the same program (RFC 1833 2).
    await callPortmap(host, nullProcedure, undefined, quick, { program: portmapProgram.program, version: 4 });
    return 'rpcbind';
  } catch {
    return 'portmapper';
  }
}

function sameService(one: Mapping, other: Mapping): boolean {
  return one.program === other.program && one.version === other.version && one.protocol === other.protocol;
}

function occupied(wanted: Mapping, other: Mapping): ViaductError {
  return new ViaductError('ADDRESS_IN_USE', {
    cause: `rpcbind has program ${wanted.program} version ${wanted.version} on port ${other.port} already, not ${wanted.port}`,
    remedy: `End that server, or remove its registration (rpcinfo -d ${wanted.program} ${wanted.version}).`,
  });
}
