/** A local directory as an origin. */
export { type DirectoryOriginOptions, openDirectoryOrigin } from './open.ts';
