/**
 * What a bench case is: it measures something and its baseline in turns, in the same run, and hands back the samples.
 */
export interface BenchContext {
  /** Pairs of subject and baseline to measure. */
  readonly pairs: number;
  /** Smaller files and fewer requests: to see that the bench works, not to quote. */
  readonly quick: boolean;
  /** A folder that is removed afterwards. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  say(text: string): void;
}

/** One figure: a subject against its baseline; `subject[i]` and `baseline[i]` were measured one after the other. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly subjectName: string;
  readonly baselineName: string;
  readonly subject: readonly number[];
  readonly baseline: readonly number[];
  /** What is asked of the median of the pairs' ratios (subject to baseline), or of the subject's median by itself. */
  readonly target?: { readonly of: 'ratio' | 'subject'; readonly value: number };
}

export interface BenchCase {
  readonly name: string;
  readonly title: string;
  /** It is ended after that, without a result. */
  readonly limitMinutes?: number;
  /** What needs the host's network (fetching packages); runs before the network is private. */
  prepare?(signal: AbortSignal): Promise<void>;
  run(context: BenchContext): Promise<readonly Figure[]>;
}

/** The raw result of one case, as it is kept under bench/results. */
export interface CaseResult {
  readonly case: string;
  readonly title: string;
  readonly date: string;
  readonly quick: boolean;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly figures: readonly Figure[];
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Calls the functions in turns, `pairs` times, every second round backwards so that none always goes first. */
export async function interleave(pairs: number, turns: readonly (() => Promise<void>)[]): Promise<void> {
  for (let pair = 0; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? turns : turns.toReversed();
    for (const turn of order) await turn();
  }
}

/** Subject to baseline, pair by pair: what drifts during a run is in both of a pair. */
export function pairRatios(figure: Figure): number[] {
  return figure.subject.map((value, index) => value / figure.baseline[index]!);
}
