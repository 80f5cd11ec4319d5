/** Floor 3: NFSv3 (RFC 1813), server and client. */

export {
  readAttributes,
  readOptionalAttributes,
  readSize,
  readTime,
  writeAttributes,
  writeOptionalAttributes,
  writeTime,
} from './attributes.ts';
export { refuseWithWcc } from './bodies.ts';
export { checkLookup, checkObject, checkSetattr, checkWrite } from './checks.ts';
export { type ConditionalProcedures, Nfs3Client, type Nfs3ClientOptions, openNfs3Client } from './client.ts';
export { readHandle, readName } from './names.ts';
export { type Nfs3Procedure, nfsProgram, readStatus, replyUnion } from './procedure.ts';
export { callOf, type Nfs3ProgramOptions, nfs3Program, serveOperation } from './program.ts';
export { wrongWrite } from './replies.ts';
export { procedures } from './table.ts';
