/** One claim that takes long to prove; tools/proof.ts runs it in rounds and keeps the dated results. */
export interface Proof {
  /** One sentence: what holds if all rounds pass. */
  readonly claim: string;
  readonly rounds: number;
  /** Throws when the claim does not hold; else the figures of the round. The round number seeds all randomness. */
  run(round: number, say: (line: string) => void): Promise<Record<string, string | number>>;
}
