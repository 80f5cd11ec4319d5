/**
 * Who owns the other end of a loopback connection, from the kernel's table of TCP sockets (/proc/net/tcp, tcp6).
 *
 *     sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
 *      0: 0100007F:8B5C 0100007F:0801 01 ...              1000       0 34567
 *
 * Addresses are the kernel's 32-bit words, each printed in this host's byte order. A socket whose process has closed it
 * ("orphaned") is listed with uid 0 and inode 0: taking that for root would let anybody send a call and close, so a row
 * counts only with an inode. A peer of another network namespace is not in our table: its owner is unknown.
 */
import { readFile } from 'node:fs/promises';
import { SocketAddress } from 'node:net';
import { endianness } from 'node:os';

export interface SocketEnds {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** The text of the tables, by file name; an argument so that tests bring their own. */
export type ReadSocketTable = (name: 'tcp' | 'tcp6') => Promise<string>;

export const readKernelSocketTable: ReadSocketTable = (name) => readFile(`/proc/net/${name}`, 'latin1').catch(() => '');

/** The uid that owns the peer's socket of an accepted connection (whose ends are given as we see them), or undefined. */
export async function socketOwner(ends: SocketEnds, read: ReadSocketTable): Promise<number | undefined> {
  const plain = ends.remoteAddress.includes(':') ? undefined : 'tcp';
  if (plain !== undefined) {
    const uid = findOwner(
      await read('tcp'),
      hexEnd(ends.remoteAddress, ends.remotePort),
      hexEnd(ends.localAddress, ends.localPort),
    );
    if (uid !== undefined) return uid;
  }
  // An IPv4 connection of an IPv6 socket is listed under mapped addresses.
  const prefix = plain === undefined ? '' : '::ffff:';
  return findOwner(
    await read('tcp6'),
    hexEnd(prefix + ends.remoteAddress, ends.remotePort),
    hexEnd(prefix + ends.localAddress, ends.localPort),
  );
}

function findOwner(table: string, local: string, remote: string): number | undefined {
  const at = table.indexOf(` ${local} ${remote} `);
  if (at < 0) return undefined;
  const end = table.indexOf('\n', at);
  const fields = table.slice(at + 1, end < 0 ? undefined : end).split(/ +/);
  const uid = Number(fields[6]);
  const inode = Number(fields[8]);
  return Number.isSafeInteger(uid) && inode > 0 ? uid : undefined;
}

function hexEnd(address: string, port: number): string {
  const bytes = addressBytes(address);
  let text = '';
  for (let word = 0; word < bytes.length; word += 4) {
    const value = endianness() === 'LE' ? bytes.readUInt32LE(word) : bytes.readUInt32BE(word);
    text += value.toString(16).toUpperCase().padStart(8, '0');
  }
  return `${text}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
}

function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return Buffer.concat([Buffer.alloc(10), Buffer.from([255, 255]), addressBytes(mapped[1]!)]);
  const [head, tail] = new SocketAddress({ address: address.split('%')[0]!, family: 'ipv6' }).address.split('::');
  const words = (part: string | undefined): number[] =>
    part === undefined || part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const front = words(head);
  const back = words(tail);
  const bytes = Buffer.alloc(16);
  front.forEach((word, i) => {
    bytes.writeUInt16BE(word, 2 * i);
  });
  back.forEach((word, i) => {
    bytes.writeUInt16BE(word, 16 - 2 * (back.length - i));
  });
  return bytes;
}
