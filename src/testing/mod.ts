/** Beside the floors: what only tests and benches use. */
export { filesystemSuite } from './filesystem-suite.ts';
export { MemoryFilesystem, type MemoryFilesystemOptions } from './memory-filesystem.ts';
export {
  callBy,
  fullCapabilities,
  ok,
  pattern,
  refused,
  type Subject,
  type SuiteCapabilities,
  Workbench,
} from './suite/workbench.ts';
