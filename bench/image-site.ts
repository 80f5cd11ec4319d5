/**
 * A far image site and the hosts that use it: what the content benches measure.
 *
 * ```
 *  host ── 127.0.0.4 proxy ──────────────────► 127.0.0.3 ┐        ┌► 127.0.0.2 viaduct serve ──┐
 *  host ── 127.0.0.6 ─► 127.0.0.8 LAN cache ─► 127.0.0.3 ├─ link ─┤                            ├─ the images
 *  native NFS client ────────────────────────► 127.0.0.5 ┤        ├► nfs-ganesha, elsewhere ───┤
 *  zstd -d ──────────────────────────────────► 127.0.0.3 ┘        └► zstd -3 ──────────────────┘
 * ```
 *
 * Bytes are counted at the link. One link at a time, of any shape: the hosts are started anew behind it.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { type RunningCommand, startCommand } from '../src/demo/mod.ts';
import { type LinkProcess, startLinkProcess } from '../src/link/mod.ts';
import { type Ganesha, startGanesha } from '../test/support/ganesha.ts';
import { run } from '../test/support/programs.ts';
import { proxy } from '../test/support/viaduct.ts';
import { type SeparateNetwork, separateNetwork } from './separate-network.ts';
import { startZstdServer, type ZstdCopy, type ZstdServer, zstdCopy } from './zstd-stream.ts';

const MiB = 1024 * 1024;
const readTimeoutMs = 900_000;
const originAddress = '127.0.0.2';
const linkAddress = '127.0.0.3';
const nativeAddress = '127.0.0.5';
const zstdPort = 3049;

export interface LinkShape {
  readonly name: string;
  readonly roundTripMs: number;
  /** Without it there is no limit. */
  readonly bitsPerSecond?: number;
}

/** The paper's link, and a good one of today. */
export const thinLink: LinkShape = { name: '14 Mbit/s', roundTripMs: 32, bitsPerSecond: 14e6 };
export const wideLink: LinkShape = { name: '100 Mbit/s', roundTripMs: 40, bitsPerSecond: 100e6 };
/** To fill caches before anything is measured. */
export const nearLink: LinkShape = { name: 'near', roundTripMs: 0 };

export interface HostOptions {
  readonly listen: '127.0.0.4' | '127.0.0.6' | '127.0.0.8';
  /** Folder of its cache, made if it is not there; its state is beside. */
  readonly cache: string;
  /** Another host instead of the far site. */
  readonly behind?: Host;
  readonly more?: readonly string[];
}

export interface Host {
  readonly address: string;
  readonly command: RunningCommand;
  stop(): Promise<void>;
}

/** What one read took. */
export interface Cost {
  readonly seconds: number;
  /** Over the link, towards the hosts. */
  readonly megabytes: number;
}

export class ImageSite {
  readonly folder: string;
  readonly #origin: RunningCommand;
  readonly #network: SeparateNetwork;
  readonly #ganesha: Ganesha;
  readonly #zstd: ZstdServer;
  #link: LinkProcess | undefined;

  /** Serves what is in `folder`. `more`: options of `viaduct serve`. */
  static async open(options: {
    readonly folder: string;
    readonly scratch: string;
    readonly more?: readonly string[];
  }): Promise<ImageSite> {
    const { folder, scratch, more = [] } = options;
    const own = ['--listen', originAddress, '--state-directory', `${folder}.state`];
    const origin = await startCommand(['serve', folder, ...own, ...more], { signal: new AbortController().signal });
    const network = await separateNetwork({ joined: true });
    const ganesha = await startGanesha({ exported: folder, scratch, within: network.within });
    return new ImageSite(folder, origin, network, ganesha, await startZstdServer());
  }

  private constructor(
    folder: string,
    origin: RunningCommand,
    network: SeparateNetwork,
    ganesha: Ganesha,
    zstd: ZstdServer,
  ) {
    this.folder = folder;
    this.#origin = origin;
    this.#network = network;
    this.#ganesha = ganesha;
    this.#zstd = zstd;
  }

  /** Ends the link that is, whatever uses it. */
  async useLink({ roundTripMs, bitsPerSecond }: LinkShape): Promise<void> {
    await this.#link?.close();
    const far = (port: number, host = originAddress, from = linkAddress) => ({
      listen: { host: from, port },
      target: { host, port },
    });
    const { port, mountPort } = this.#ganesha;
    this.#link = await startLinkProcess({
      routes: [
        far(2049),
        far(111),
        ...[111, port, mountPort].map((one) => far(one, this.#network.address, nativeAddress)),
        { listen: { host: linkAddress, port: zstdPort }, target: { host: '127.0.0.1', port: this.#zstd.port } },
      ],
      roundTripMs,
      bitsPerSecond,
    });
  }

  async crossedBytes(): Promise<number> {
    return (await this.#link!.counters()).backwardBytes;
  }

  async host({ listen, cache, behind, more = [] }: HostOptions): Promise<Host> {
    await mkdir(cache, { recursive: true });
    const origin = `nfs://${behind?.address ?? linkAddress}:2049/`;
    const command = await proxy({ origin, listen, cache, cacheSize: '4G', more });
    return { address: listen, command, stop: () => command.stop() };
  }

  /** A host with nothing cached; gone with all that it kept when `use` is over. */
  async freshHost<T>(options: HostOptions, use: (host: Host) => Promise<T>): Promise<T> {
    const host = await this.host(options);
    try {
      return await use(host);
    } finally {
      await host.stop();
      await forget(options.cache);
    }
  }

  /** The whole file, 1 MiB a request, 8 at a time, from the start of the program to its end. */
  read(host: Host, name: string, fileBytes: number): Promise<Cost> {
    return this.#read(`nfs://${host.address}//${name}`, fileBytes);
  }

  /** The same by native NFS: QEMU's client and nfs-ganesha, and nothing but the link between them. */
  readNative(name: string, fileBytes: number): Promise<Cost> {
    return this.#read(`nfs://${nativeAddress}${this.folder}/${name}`, fileBytes);
  }

  /** For QEMU: where a native client finds a file. */
  nativePlace(name: string): { readonly kind: 'nfs'; readonly host: string; readonly path: string } {
    return { kind: 'nfs', host: nativeAddress, path: `${this.folder}/${name}` };
  }

  /** The whole file as `ssh | zstd -3` would copy it. */
  copy(path: string): Promise<ZstdCopy> {
    return zstdCopy({ host: linkAddress, port: zstdPort }, path);
  }

  /** Bytes over the link while `action` goes on, and its time. */
  async cost(action: () => Promise<unknown>): Promise<Cost> {
    const before = await this.crossedBytes();
    const started = performance.now();
    await action();
    const seconds = (performance.now() - started) / 1000;
    return { seconds, megabytes: ((await this.crossedBytes()) - before) / 1e6 };
  }

  async close(): Promise<void> {
    await this.#link?.close();
    await this.#zstd.close();
    await this.#ganesha.stop();
    await this.#network.close();
    await this.#origin.stop();
  }

  #read(url: string, fileBytes: number): Promise<Cost> {
    const reads = ['-f', 'raw', '-c', String(Math.ceil(fileBytes / MiB)), '-d', '8', '-s', String(MiB), url];
    return this.cost(() => run('qemu-img', ['bench', ...reads], readTimeoutMs));
  }
}

/** SHA-256 of a file as a client of the host reads it. */
export function digestThrough(host: Host, name: string): Promise<string> {
  const reader = spawn('nfs-cat', [`nfs://${host.address}//${name}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const hash = createHash('sha256');
  reader.stdout!.on('data', (part: Buffer) => hash.update(part));
  return new Promise((resolve, reject) => {
    reader.once('error', reject);
    reader.once('close', (code) =>
      code === 0 ? resolve(hash.digest('hex')) : reject(new Error(`nfs-cat ended with ${code}`)),
    );
  });
}

/** A cache and what its host kept beside it. */
export async function forget(cache: string): Promise<void> {
  for (const folder of [cache, `${cache}.state`]) await rm(folder, { recursive: true, force: true });
}

/** Copies images with their holes into a folder of the scratch. */
export async function copyImages(folder: string, images: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const image of images) await run('cp', ['--sparse=always', '--reflink=auto', image, folder], readTimeoutMs);
}
