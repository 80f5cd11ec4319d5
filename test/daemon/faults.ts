/**
 * Loaded before anything else into each thread of a daemon (NODE_OPTIONS=--import): a connection to an address that the file named by
 * VIADUCT_TEST_FAULTS tells of goes wrong.
 *
 *     127.1.0.3 throw     an error that nobody expects, in what serves that session
 *     127.1.0.3 block     the thread stands still for a minute
 */
import { readFileSync } from 'node:fs';
import { Server } from 'node:net';
import { isMainThread } from 'node:worker_threads';

const path = process.env.VIADUCT_TEST_FAULTS;
if (!isMainThread && path !== undefined) {
  Server.prototype.emit = new Proxy(Server.prototype.emit, {
    apply(target, server: Server, args) {
      if (args[0] === 'connection') fail(faultOf(path, server));
      return Reflect.apply(target, server, args);
    },
  });
}

function faultOf(file: string, server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return '';
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.find((line) => line.startsWith(`${address.address} `))?.split(' ')[1] ?? '';
}

function fail(fault: string): void {
  if (fault === 'throw') setImmediate(() => JSON.parse('{ this is not what was expected'));
  if (fault === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
}
