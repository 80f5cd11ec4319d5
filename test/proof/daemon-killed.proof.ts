import { proofOf } from '../daemon/proof-of.ts';
import type { Proof } from './proof.ts';

export const proof: Proof = proofOf('killed', {
  claim:
    'a daemon that is killed again and again amid creation, writes and close loses no change, no address and no session, and leaves nothing that it does not tell of',
  rounds: 50,
});
