/** The body of a request: short, or none at all. */
import type { IncomingMessage } from 'node:http';
import { limits } from '../base/mod.ts';

/** Undefined: it is too long. */
export async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    // The rest is read and thrown away: an answer that comes before it is reset.
    if (size <= limits.controlBodyBytes) chunks.push(chunk);
    else chunks.length = 0;
    if (size > 64 * limits.controlBodyBytes) request.destroy();
  }
  return size > limits.controlBodyBytes ? undefined : Buffer.concat(chunks).toString('utf8');
}
