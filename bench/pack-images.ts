/** `viaduct image pack` as benches use it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findLauncher } from '../src/demo/mod.ts';
import { residentMebibytes } from './resident.ts';

export interface Packed {
  readonly path: string;
  readonly sizeBytes: number;
  readonly packBytes: number;
  readonly metaBytes: number;
}

export interface Packing {
  readonly images: readonly Packed[];
  /** From the start of the command to its end. */
  readonly seconds: number;
  /** The most that was seen. */
  readonly residentMebibytes: number;
}

const limitMs = 30 * 60_000;
const watchMs = 100;

/** In this order: each looks for what the ones before it have. `more`: options. */
export async function packImages(paths: readonly string[], more: readonly string[] = []): Promise<Packing> {
  const started = performance.now();
  const child = spawn(findLauncher(), ['image', 'pack', '--json', ...more, ...paths], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
  });
  let [said, complaints, most] = ['', '', 0];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-2000);
  });
  const watch = setInterval(() => void look(), watchMs);
  const look = async (): Promise<void> => {
    most = Math.max(most, await residentMebibytes(child.pid!));
  };
  const [code] = await once(child, 'close');
  const seconds = (performance.now() - started) / 1000;
  clearInterval(watch);
  if (code !== 0) throw new Error(`viaduct image pack ended with ${code}: ${complaints}`);
  const results = said.trimEnd().split('\n');
  const images = results.map((line) => JSON.parse(line) as Packed);
  if (images.length !== paths.length) throw new Error(`viaduct image pack said: ${said}`);
  return { images, seconds, residentMebibytes: most };
}
