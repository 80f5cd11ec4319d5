/** A network in CIDR form, and whether addresses are in it. */
import { BlockList, isIP } from 'node:net';
import { ViaductError } from '../base/mod.ts';

export class Network {
  readonly address: string;
  readonly bits: number;
  readonly #list: BlockList;

  private constructor(address: string, bits: number) {
    this.address = address;
    this.bits = bits;
    this.#list = new BlockList();
    this.#list.addSubnet(address, bits, isIP(address) === 4 ? 'ipv4' : 'ipv6');
  }

  /** An address alone is a network of one. Throws ADDRESS_INVALID. */
  static parse(text: string): Network {
    const match = /^([0-9A-Fa-f.:]+)(?:\/(\d{1,3}))?$/.exec(text);
    const version = isIP(match?.[1] ?? '');
    const widest = version === 4 ? 32 : 128;
    const bits = match?.[2] === undefined ? widest : Number(match[2]);
    if (match !== null && version !== 0 && bits <= widest) return new Network(match[1]!, bits);
    throw new ViaductError('ADDRESS_INVALID', {
      cause: `${JSON.stringify(text)} is not a network`,
      remedy: 'Write an address or a network in CIDR form: 192.0.2.7, 192.0.2.0/24, 2001:db8::/32.',
    });
  }

  has(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#list.check(address, version === 4 ? 'ipv4' : 'ipv6');
  }
}
