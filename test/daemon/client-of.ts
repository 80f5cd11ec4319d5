/** Our own client on a session: it waits where the session does. */
import assert from 'node:assert/strict';
import { Client } from '../write-back/client.ts';
import type { DaemonBed } from './daemon-bed.ts';

export async function clientOf(bed: DaemonBed, session: string): Promise<Client> {
  const { place } = await bed.session(session);
  assert.ok(place !== undefined, `${session} has no address yet`);
  const client = await Client.open(`nfs://${place.host}:${place.port}/?mountport=${place.port}`);
  bed.atEnd(() => client.close());
  return client;
}
