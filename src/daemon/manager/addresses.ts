/**
 * Which session has which address: given by name, or the next free one of the configured pool.
 *
 *     127.1.0.0/16 ──► 127.1.0.1, 127.1.0.2, ... round and round: one that was given back is not given again soon, so that a client
 *                      which has not noticed does not meet another session there
 *
 * Invariant: no two sessions have overlapping places. Numbers are IPv4 addresses as unsigned 32 bits.
 */
import { readFileSync } from 'node:fs';
import { ViaductError } from '../../base/mod.ts';
import type { ListenRule } from '../../sessions/mod.ts';

const nfsPort = 2049;
const portmapperPort = 111;

export interface AddressesOptions {
  /** This process may listen on port 111: clients need not name the port. */
  readonly hasPortmapper?: boolean | undefined;
}

export class Addresses {
  /** More than one while a session moves. */
  readonly #held = new Map<string, { readonly rules: readonly ListenRule[]; readonly name: string }>();
  readonly #hasPortmapper: boolean;
  #first = 0;
  #last = 0;
  #at = 0;
  #pool = '';
  #reserved: ReadonlySet<string> = new Set();

  /** `pool`: a network in CIDR form. Throws ADDRESS_INVALID. */
  constructor(pool: string, { hasPortmapper = true }: AddressesOptions = {}) {
    this.#hasPortmapper = hasPortmapper;
    this.setPool(pool);
  }

  /** From now on; who has an address keeps it. */
  setPool(pool: string): void {
    if (pool === this.#pool) return;
    const { first, last } = hostsOf(pool);
    this.#pool = pool;
    this.#first = first;
    this.#last = last;
    this.#at = first;
    for (const { host } of [...this.#held.values()].flatMap(({ rules }) => rules)) {
      const number = numberOf(host);
      if (number !== undefined && number >= first && number <= last) this.#at = Math.max(this.#at, number + 1);
    }
  }

  /** Somebody asks for these by name, now or later: nobody is given one of them unasked. */
  setReserved(hosts: readonly string[]): void {
    this.#reserved = new Set(hosts);
  }

  /** In place of what it had. `session`: its id; `name`: for errors. Throws ADDRESS_IN_USE if another session has it. */
  claim(session: string, name: string, rule: ListenRule): void {
    this.#hold(session, name, rule, []);
  }

  /** Beside what it has, until it claims one of them. Throws ADDRESS_IN_USE. */
  claimToo(session: string, name: string, rule: ListenRule): void {
    this.#hold(session, name, rule, this.#held.get(session)?.rules ?? []);
  }

  #hold(session: string, name: string, rule: ListenRule, before: readonly ListenRule[]): void {
    for (const [other, held] of this.#held) {
      const found = held.rules.find((its) => overlaps(its, rule));
      if (other === session || found === undefined) continue;
      throw new ViaductError('ADDRESS_IN_USE', {
        cause: `${placeText(rule)} is where session ${held.name} (${other}) listens${placeText(found) === placeText(rule) ? '' : ` (${placeText(found)})`}.`,
        remedy: 'Choose another address (all of 127.0.0.0/8 is this host’s), or none: then the next free one is taken.',
      });
    }
    this.#held.set(session, { rules: [...before, rule], name });
    const number = numberOf(rule.host);
    if (number !== undefined && number >= this.#at && number <= this.#last) this.#at = number + 1;
  }

  /** The next free address of the pool. Throws ADDRESS_IN_USE if there is none. */
  take(session: string, name: string): ListenRule {
    const count = this.#last - this.#first + 1;
    const start = this.#at > this.#last ? 0 : this.#at - this.#first;
    for (let step = 0; step < count; step++) {
      const number = this.#first + ((start + step) % count);
      const host = textOf(number);
      const rule = this.#hasPortmapper ? { host } : { host, port: nfsPort };
      const isFree = [...this.#held.values()].every(({ rules }) => !rules.some((its) => overlaps(its, rule)));
      if (!isFree || this.#reserved.has(host)) continue;
      this.#held.set(session, { rules: [rule], name });
      this.#at = number + 1;
      return rule;
    }
    throw new ViaductError('ADDRESS_IN_USE', {
      cause: `all ${count} addresses of the listen pool ${this.#pool} are in use.`,
      remedy: 'Close sessions that nobody uses, configure a larger `listen-pool`, or name an address: --listen.',
    });
  }

  release(session: string): void {
    this.#held.delete(session);
  }
}

/** Whether this process may listen on the portmapper's port: root, CAP_NET_BIND_SERVICE, or a host that lets everybody. */
export function mayListenOnPortmapper(): boolean {
  try {
    const first = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'latin1'));
    const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
    return first <= portmapperPort || Math.floor(Number(`0x${capabilities}`) / 2 ** 10) % 2 === 1;
  } catch {
    return process.getuid?.() === 0;
  }
}

function overlaps(one: ListenRule, other: ListenRule): boolean {
  if ((one.port ?? nfsPort) !== (other.port ?? nfsPort)) return false;
  return one.host === other.host || isAny(one.host) || isAny(other.host);
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function placeText({ host, port }: ListenRule): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port ?? nfsPort}`;
}

/** Without the network's own address and its broadcast, where there is room for that. */
function hostsOf(pool: string): { first: number; last: number } {
  const [host = '', prefix = ''] = pool.split('/');
  const base = numberOf(host);
  const bits = /^\d+$/.test(prefix) ? Number(prefix) : 33;
  if (base === undefined || bits > 32) {
    throw new ViaductError('ADDRESS_INVALID', {
      cause: `listen-pool ${pool}: this is not an IPv4 network.`,
      remedy: 'Write one in CIDR form: 127.1.0.0/16.',
    });
  }
  const size = 2 ** (32 - bits);
  const network = base - (base % size);
  return size <= 2 ? { first: network, last: network + size - 1 } : { first: network + 1, last: network + size - 2 };
}

function numberOf(host: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  if (match === null) return undefined;
  const parts = match.slice(1).map(Number);
  return parts.some((part) => part > 255) ? undefined : parts.reduce((sum, part) => sum * 256 + part, 0);
}

function textOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}
