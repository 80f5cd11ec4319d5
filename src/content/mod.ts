/** Floor 2: the formats of content meta-data, packs and working sets, and the hint index. No I/O. */
export { digestOf, isZero } from './chunk.ts';
export * from './contract.ts';
export { encodeMeta } from './encode-meta.ts';
export { packHeaderBytes } from './group-table.ts';
export { sameVersion } from './header.ts';
export { type Hint, type HintIndexOptions, MemoryHintIndex } from './hint-index.ts';
export { mergeWorkingSets } from './merge-working-sets.ts';
export { metaHeaderBytes } from './meta-format.ts';
export { decodeHead, headBytes, withStamp } from './meta-head.ts';
export { decodePage } from './meta-page.ts';
export { isPurpose, metaName, packName, workingSetName } from './names.ts';
export { decodeGroup, decodePackHeader, encodeGroup, encodeGroupNow, encodePackHeader, newPackId } from './pack.ts';
export { decodeWorkingSet, encodeWorkingSet } from './working-set.ts';
