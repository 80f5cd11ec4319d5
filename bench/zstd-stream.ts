/**
 * Whole files copied as `ssh | zstd` does, without ssh: `zstd -3` at the far end, one plain TCP stream, `zstd -d` at this one. This file
 * is both sides of the fork.
 *
 *     zstdCopy ── "PATH\n" ──► link ──► server: zstd -3 -c PATH ──► link ──► zstd -d ──► /dev/null
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

export interface ZstdServer {
  readonly port: number;
  close(): Promise<void>;
}

export async function startZstdServer(): Promise<ZstdServer> {
  const child = fork(import.meta.filename, ['zstd-server'], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
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

export interface ZstdCopy {
  /** From the connect until all is decompressed. */
  readonly seconds: number;
  readonly streamBytes: number;
}

export async function zstdCopy(
  address: { readonly host: string; readonly port: number },
  path: string,
): Promise<ZstdCopy> {
  const started = performance.now();
  const socket = net.connect(address);
  const decoder = spawn('zstd', ['-d', '-q', '-c'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const end = exit(decoder);
  socket.write(`${path}\n`);
  socket.pipe(decoder.stdin!);
  socket.once('error', () => decoder.kill());
  const code = await end;
  if (code !== 0) throw new Error(`zstd -d of ${path} ended with ${code}`);
  return { seconds: (performance.now() - started) / 1000, streamBytes: socket.bytesRead };
}

function exit(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}

function serve(): void {
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', (line) => {
      const path = line.toString().trimEnd();
      const encoder = spawn('zstd', ['-3', '-q', '-c', path], { stdio: ['ignore', 'pipe', 'inherit'] });
      encoder.stdout!.pipe(socket);
      socket.once('close', () => encoder.kill());
    });
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as net.AddressInfo).port));
  process.on('disconnect', () => process.exit(0));
}

if (process.argv[2] === 'zstd-server') serve();
