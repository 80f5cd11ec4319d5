/** A local directory as an origin. */
export { type DirectoryOrigin, type DirectoryOriginOptions, openDirectoryOrigin } from './open.ts';
