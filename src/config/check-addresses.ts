/**
 * Who listens where: no two on one address and port. A session without a port takes NFS's 2049 and the portmapper's 111; a wildcard
 * takes its port on every address.
 */
import { isIP, SocketAddress } from 'node:net';
import { isLoopback, type ListenRule, parseListen } from '../sessions/mod.ts';
import type { Collector } from './collector.ts';
import type { Configuration } from './configuration.ts';
import { Network } from './network.ts';
import type { Path } from './problem.ts';

interface Listener {
  readonly path: Path;
  /** `the session "lab"` */
  readonly who: string;
  readonly rule: ListenRule;
  /** Without spelling: `::1`, IPv4 also where it is written as IPv6. */
  readonly host: string;
  readonly ports: readonly number[];
}

export function checkAddresses(configuration: Configuration, collector: Collector): void {
  const listeners = listenersOf(configuration);
  const checked: Listener[] = [];
  for (const listener of listeners) {
    const earlier = checked.map((other) => ({ other, port: sharedPort(listener, other) }));
    const clash = earlier.find(({ port }) => port !== undefined);
    if (clash !== undefined) {
      collector.error(listener.path, {
        cause: overlap(listener, clash.other, clash.port!),
        remedy: 'Give each an address or a port of its own; 127.0.0.2, .3 and so on are all this host.',
        other: clash.other.path,
      });
    }
    checked.push(listener);
  }
  for (const { name, listen, allow } of configuration.sessions) {
    if (listen === undefined || isLoopback(parseListen(listen).host) || allow.length > 0) continue;
    collector.error(['sessions', name, 'listen'], {
      cause: `other hosts can reach ${listen}, and no network is allowed to connect.`,
      remedy:
        'Say which clients you trust (allow: [192.0.2.0/24]; NFS believes the user ids that they claim), or listen on 127.0.0.2.',
    });
  }
}

/** Addresses of the pool that are taken by what the configuration says. */
export function reservedAddresses(configuration: Configuration): string[] {
  const pool = Network.parse(configuration.daemon.listenPool);
  const hosts = listenersOf(configuration).map(({ host }) => host);
  return [...new Set(hosts)].filter((host) => pool.has(host));
}

function listenersOf({ sessions, daemon }: Configuration): Listener[] {
  const listeners: Listener[] = sessions.flatMap(({ name, listen }) => {
    if (listen === undefined) return [];
    const rule = parseListen(listen);
    const ports = rule.port === undefined ? [2049, 111] : [rule.port];
    return [{ path: ['sessions', name, 'listen'], who: `the session "${name}"`, rule, host: plain(rule.host), ports }];
  });
  const { tcp } = daemon.api;
  if (tcp?.port !== undefined) {
    const host = plain(tcp.host);
    listeners.push({ path: ['daemon', 'api', 'tcp'], who: 'the API', rule: tcp, host, ports: [tcp.port] });
  }
  return listeners;
}

function sharedPort(left: Listener, right: Listener): number | undefined {
  if (!meets(left.host, right.host)) return undefined;
  // Port 0 is another one for each.
  return left.ports.find((port) => port !== 0 && right.ports.includes(port));
}

function meets(left: string, right: string): boolean {
  if (left === right || left === '::' || right === '::') return true;
  const takesIpv4 = (host: string, other: string): boolean => host === '0.0.0.0' && isIP(other) === 4;
  return takesIpv4(left, right) || takesIpv4(right, left);
}

function plain(host: string): string {
  if (isIP(host) === 4) return host;
  const address = new SocketAddress({ address: host.replace(/%.*$/, ''), family: 'ipv6' }).address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address;
}

function overlap(listener: Listener, other: Listener, port: number): string {
  const own = describe(listener.rule);
  const same = listener.host === other.host ? 'the same address' : `an overlapping address, ${other.rule.host}`;
  const also = `${other.who} listens on ${same}`;
  return `${own} takes port ${port}, and ${also}${other.rule.port === undefined ? ` (${describe(other.rule)})` : ''}.`;
}

function describe({ host, port }: ListenRule): string {
  if (port === undefined) return `${host} (NFS on 2049, a portmapper on 111)`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
