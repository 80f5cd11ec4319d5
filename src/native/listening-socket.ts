/**
 * Listening sockets that are there before anything is that could answer: the kernel takes connections and what they send, whoever
 * accepts them later finds all of it. IPv4 alone.
 */
import { isIPv4 } from 'node:net';
import { lastErrno, libc } from './libc.ts';

const socket = libc.func('int socket(int, int, int)');
const setsockopt = libc.func('int setsockopt(int, int, int, const void*, unsigned int)');
const bind = libc.func('int bind(int, const void*, unsigned int)');
const listen = libc.func('int listen(int, int)');
const close = libc.func('int close(int)');
const fcntl: (descriptor: number, operation: number, least: number) => number = libc.func('int fcntl(int, int, int)');

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const F_DUPFD_CLOEXEC = 1030;
/** As many as Node lets wait. */
const backlog = 511;

/** A descriptor, or a negative errno; -EINVAL, which is -22, for what is no IPv4 address. */
export function listenOn(host: string, port: number): number {
  if (!isIPv4(host)) return -22;
  const descriptor: number = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -lastErrno();
  const one = Buffer.alloc(4);
  one.writeInt32LE(1);
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.set(host.split('.').map(Number), 4);
  const isListening =
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, one, one.length) === 0 &&
    bind(descriptor, address, address.length) === 0 &&
    listen(descriptor, backlog) === 0;
  if (isListening) return descriptor;
  const errno = lastErrno();
  close(descriptor);
  return -errno;
}

/** Another descriptor of the same open file, which is its owner's to close; or a negative errno. */
export function duplicateDescriptor(descriptor: number): number {
  const copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -lastErrno() : copy;
}
