/**
 * A process that sends so many bytes to whoever connects: one plain TCP stream, the baseline for bulk reads. This file is both
 * sides of the fork.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

export interface StreamServer {
  readonly port: number;
  close(): Promise<void>;
}

export async function startStreamServer(bytes: number): Promise<StreamServer> {
  const child = fork(import.meta.filename, ['stream-server', String(bytes)], {
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

function serve(bytes: number): void {
  const chunk = Buffer.alloc(1024 * 1024, 'one plain stream ');
  const server = net.createServer((socket) => {
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
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as net.AddressInfo).port));
  process.on('disconnect', () => process.exit(0));
}

if (process.argv[2] === 'stream-server') serve(Number(process.argv[3]));
