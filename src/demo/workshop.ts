/** What the steps of a guest's build have in common: the recipe, the folders, the progress, the way to stop. */
import type { Recipe } from './recipe.ts';

export interface BuildProgress {
  /** A step begins; `index` of `count`, from 0. */
  step(index: number, count: number, text: string): void;
  /** Something happens in it. */
  detail(text: string): void;
}

/** What a step of the build works with. */
export interface Workshop {
  readonly recipe: Recipe;
  /** Pieces that survive a broken-off build. */
  readonly parts: string;
  /** Scratch; gone after the build, however it ends. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  readonly progress: BuildProgress;
}
