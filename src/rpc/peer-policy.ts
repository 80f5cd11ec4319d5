/**
 * Who may connect, and as whom (DESIGN.md, rule 12).
 *
 * Networks are allowed by the operator; loopback always is. AUTH_SYS is a claim: a process of this host can claim any uid. So
 * the owner of a loopback peer's socket is looked up once, when it is accepted:
 *
 *     not loopback, or source port < 1024 (only root binds those) ... believed
 *     loopback, socket owned by root ................................ believed
 *     loopback, socket owned by uid U ............................... may claim U, or be nobody
 *     loopback, owner unknown (another network namespace, gone) ..... may only be nobody (AUTH_NONE, or its uid)
 *
 * A refused claim is AUTH_ERROR with AUTH_BADCRED. Groups cannot be told from a socket and are believed.
 */
import { BlockList, isIP } from 'node:net';
import { ViaductError } from '../base/mod.ts';
import { nobodyId } from '../vfs/mod.ts';
import type { ClaimCheck } from './auth.ts';
import { type ReadSocketTable, readKernelSocketTable, type SocketEnds, socketOwner } from './socket-owner.ts';

export interface PeerPolicyOptions {
  /** `10.0.0.0/8`, `fd00::/8` or single addresses. */
  readonly networks?: readonly string[];
  /** False to believe every uid that a loopback peer claims. */
  readonly checkLoopbackOwner?: boolean;
  readonly readSocketTable?: ReadSocketTable;
}

const firstUnprivilegedPort = 1024;

export class PeerPolicy {
  readonly #networks = new BlockList();
  readonly #loopback = new BlockList();
  readonly #checkOwner: boolean;
  readonly #readTable: ReadSocketTable;

  constructor(options: PeerPolicyOptions = {}) {
    this.#checkOwner = options.checkLoopbackOwner ?? true;
    this.#readTable = options.readSocketTable ?? readKernelSocketTable;
    this.#loopback.addSubnet('127.0.0.0', 8, 'ipv4');
    this.#loopback.addAddress('::1', 'ipv6');
    for (const network of options.networks ?? []) addNetwork(this.#networks, network);
  }

  allows(address: string): boolean {
    return this.loopback(address) || contains(this.#networks, address);
  }

  loopback(address: string): boolean {
    return contains(this.#loopback, address);
  }

  /** Decides once for an accepted connection which uids it may claim. Addresses as from `plainAddress`. */
  async claims(ends: SocketEnds): Promise<ClaimCheck> {
    if (!this.#checkOwner || ends.remotePort < firstUnprivilegedPort || !this.loopback(ends.remoteAddress))
      return anyUid;
    const owner = await socketOwner(ends, this.#readTable);
    if (owner === undefined) return onlyNobody;
    return owner === 0 ? anyUid : (uid) => uid === owner || uid === nobodyId;
  }
}

export const anyUid: ClaimCheck = () => true;
const onlyNobody: ClaimCheck = (uid) => uid === nobodyId;

/** An address without the IPv6 wrapping that dual-stack sockets put around IPv4. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

function contains(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

function addNetwork(list: BlockList, network: string): void {
  const [address = '', bits, ...more] = network.split('/');
  const family = isIP(address);
  const width = family === 6 ? 128 : 32;
  const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (family === 0 || prefix < 0 || prefix > width || more.length > 0) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `"${network}" is not a network`,
      remedy: 'Write it as 192.168.0.0/16, fd00::/8 or a single address.',
    });
  }
  list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4');
}
