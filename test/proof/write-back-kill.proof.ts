import { proofOf } from '../write-back/proof-of.ts';
import type { Proof } from './proof.ts';

export const proof: Proof = proofOf('kill');
