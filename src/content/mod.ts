/** Floor 2: the formats of content meta-data, packs and working sets. No I/O. */
export * from './contract.ts';
