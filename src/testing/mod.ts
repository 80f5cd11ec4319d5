/** Beside the floors: what only tests and benches use. */
export { MemoryFilesystem, type MemoryFilesystemOptions } from './memory-filesystem.ts';
