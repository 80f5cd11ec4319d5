/** Real `viaduct` commands for tests, on the loopback addresses of a private network. */
import { type RunningCommand, startCommand } from '../../src/demo/mod.ts';

const never = new AbortController().signal;

/** A directory origin on an address of its own, with its portmapper. */
export function serve(directory: string, listen: string): Promise<RunningCommand> {
  return startCommand(['serve', directory, '--listen', listen], { signal: never });
}

export function proxy(options: {
  readonly origin: string;
  readonly listen: string;
  readonly cache: string;
  readonly cacheSize?: string;
  readonly more?: readonly string[];
}): Promise<RunningCommand> {
  const { origin, listen, cache, cacheSize = '256M', more = [] } = options;
  const args = ['proxy', origin, '--listen', listen, '--cache', cache, '--cache-size', cacheSize, ...more];
  return startCommand(args, { signal: never });
}
