/** Read-ahead: pure policies (events in, block runs out) and the prefetcher that paces them. */
export { BlockBits } from './block-bits.ts';
export { type BlockRun, type BlockView, unknownRun } from './block-view.ts';
export { LinkEstimator, type LinkFigures, type TransferMark } from './link-estimator.ts';
export { defaultNeighbourhood, Neighbourhood, type NeighbourhoodOptions } from './neighbourhood.ts';
export {
  defaultReadAhead,
  FilePolicy,
  noReadAhead,
  Prefetcher,
  type PrefetchTarget,
  type ReadAheadOptions,
} from './prefetcher.ts';
export { SequentialStreams } from './sequential-streams.ts';
export { WantedBlocks } from './wanted-blocks.ts';
