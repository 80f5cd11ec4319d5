/**
 * A process that sends so many bytes to whoever connects, or takes them: one plain TCP stream, the baseline for bulk reads and for
 * write-back. This file is both sides of the fork.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

export interface StreamServer {
  readonly port: number;
  close(): Promise<void>;
}

export function startStreamServer(bytes: number): Promise<StreamServer> {
  return start('stream-server', bytes);
}

/** Says one byte when all have come. */
export function startSinkServer(bytes: number): Promise<StreamServer> {
  return start('sink-server', bytes);
}

async function start(what: string, bytes: number): Promise<StreamServer> {
  const child = fork(import.meta.filename, [what, String(bytes)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [port] = (await once(child, 'message')) as [number];
  return {
    port,
    async close() {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}

/** Seconds from the connect until the server has taken all. */
export function uploadSeconds(
  address: { readonly host: string; readonly port: number },
  bytes: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const chunk = Buffer.alloc(256 * 1024, 'one plain stream ');
    const socket = net.connect(address);
    let left = bytes;
    const send = (): void => {
      while (left > 0) {
        const length = Math.min(left, chunk.length);
        left -= length;
        if (!socket.write(chunk.subarray(0, length))) return;
      }
    };
    socket.on('drain', send);
    socket.once('error', reject);
    socket.once('data', () => {
      socket.destroy();
      resolve((performance.now() - started) / 1000);
    });
    send();
  });
}

function listen(meet: (socket: net.Socket) => void): void {
  const server = net.createServer(meet);
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as net.AddressInfo).port));
  process.on('disconnect', () => process.exit(0));
}

function take(bytes: number): void {
  listen((socket) => {
    let left = bytes;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      left -= chunk.length;
      if (left <= 0) socket.end('.');
    });
  });
}

function serve(bytes: number): void {
  const chunk = Buffer.alloc(1024 * 1024, 'one plain stream ');
  listen((socket) => {
    let left = bytes;
    const send = (): void => {
      while (left > 0) {
        const length = Math.min(left, chunk.length);
        left -= length;
        if (!socket.write(chunk.subarray(0, length))) return;
      }
      socket.end();
    };
    socket.on('error', () => {});
    socket.on('drain', send);
    send();
  });
}

if (process.argv[2] === 'stream-server') serve(Number(process.argv[3]));
else if (process.argv[2] === 'sink-server') take(Number(process.argv[3]));
