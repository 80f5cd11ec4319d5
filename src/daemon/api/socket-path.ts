/** Where the daemon's socket lies in the runtime directory: the server makes it, clients look for it. */
import { join } from 'node:path';

export function socketPath(directory: string): string {
  return join(directory, 'viaduct.sock');
}
