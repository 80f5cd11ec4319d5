/** The figures of one round of a case; a round that did not hold throws. */
export type Round = Record<string, string | number>;
