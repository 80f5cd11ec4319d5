import { proofOf } from '../daemon/proof-of.ts';
import type { Proof } from './proof.ts';

export const proof: Proof = proofOf('restart', {
  claim:
    'twenty sessions under load, one of them a guest’s own NFS client, survive SIGTERM and SIGKILL of their daemon: no client sees an error, and the origin has everything in the end',
  rounds: 5,
});
