/** Floor 3: NFSv3 (RFC 1813), server and client. */

export { checkSetattr, checkWrite } from './checks.ts';
export { type ConditionalProcedures, Nfs3Client, type Nfs3ClientOptions, openNfs3Client } from './client.ts';
export { type Nfs3Procedure, nfsProgram } from './procedure.ts';
export { callOf, type Nfs3ProgramOptions, nfs3Program, serveOperation } from './program.ts';
export { procedures } from './table.ts';
