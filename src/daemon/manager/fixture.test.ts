/** A manager over a directory of images, in a place of its own that goes with the test. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../../base/mod.ts';
import type { Configuration } from '../../config/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../../origins/mod.ts';
import { callBy, ok } from '../../testing/mod.ts';
import { credential, type FileHandle, Stability } from '../../vfs/mod.ts';
import type { SessionRequest, SessionView } from '../contract.ts';
import { type ManagerOptions, openManager, type RunningManager } from './manager.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
export const call = callBy(me);
export const diskBytes = 256 * 1024;

export interface ManagerHouse {
  readonly scratch: string;
  readonly images: string;
  readonly state: string;
  open(change?: Partial<ManagerOptions>): Promise<RunningManager>;
  /** On a port of the moment, with changes that wait until somebody has them written back. */
  writer(manager: RunningManager, name: string, change?: Partial<SessionRequest>): Promise<SessionView>;
  client(view: SessionView): Promise<NfsOrigin>;
  /** Names below STATE/sessions. */
  directories(): string[];
}

export function configuration(change: Partial<Configuration> = {}): Configuration {
  return {
    file: '/etc/viaduct/viaduct.yaml',
    daemon: { listenPool: '127.77.0.0/24', reservedAddresses: [], api: {}, workers: 1, logLevel: 'info' },
    ...{ caches: [], origins: [], policies: {}, rules: [], defaultPolicy: 'home', sessions: [] },
    ...change,
  };
}

export const waiting = {
  writes: 'write-back',
  'write-back-after': '1h',
  'dirty-age': '2h',
  'dirty-limit': '64M',
} as const;

export function house(t: TestContext): ManagerHouse {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-manager-'));
  const images = join(scratch, 'images');
  const state = join(scratch, 'state');
  mkdirSync(images);
  writeFileSync(join(images, 'disk.raw'), Buffer.alloc(diskBytes, 'image'));
  const managers: RunningManager[] = [];
  const clients: NfsOrigin[] = [];
  t.after(async () => {
    for (const client of clients) await client.close();
    for (const manager of managers) await manager.stop();
    rmSync(scratch, { recursive: true, force: true });
  });
  return {
    ...{ scratch, images, state },
    open: async (change = {}) => {
      const manager = await openManager({ configuration: configuration(), stateDirectory: state, ...tools, ...change });
      managers.push(manager);
      return manager;
    },
    writer: (manager, name, change = {}) =>
      manager.create({ name, origin: images, listen: '127.0.0.1:0', settings: waiting, ...change }),
    client: async (view) => {
      const client = await clientOf(view);
      clients.push(client);
      return client;
    },
    directories: () => {
      try {
        return readdirSync(join(state, 'sessions'));
      } catch {
        return [];
      }
    },
  };
}

export async function clientOf({ place }: SessionView): Promise<NfsOrigin> {
  if (place === undefined) throw new Error('the session listens nowhere');
  const address = { kind: 'nfs', host: place.host, path: '/', port: place.port, mountPort: place.port } as const;
  return await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
}

async function disk(client: NfsOrigin): Promise<FileHandle> {
  return ok(await client.lookup(call, { directory: client.root, name: 'disk.raw' })).object;
}

export async function read(client: NfsOrigin, offset: number, count: number): Promise<string> {
  const reply = ok(await client.read(call, { object: await disk(client), offset, count }));
  return Buffer.concat(reply.data).toString('latin1');
}

export async function write(client: NfsOrigin, offset: number, text: string): Promise<void> {
  const data = [Buffer.from(text)];
  const args = { object: await disk(client), offset, count: text.length, stable: Stability.FILE_SYNC, data };
  ok(await client.write(call, args));
}
