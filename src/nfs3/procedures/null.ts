/** NULL: do nothing (RFC 1813 3.3.0). The RPC server answers it; clients use it to see whether a server is there. */
import type { Procedure } from '../../rpc/mod.ts';
import { voidCodec } from '../../xdr/mod.ts';

export const nullProcedure: Procedure<void, void> = {
  number: 0,
  name: 'NULL',
  idempotent: true,
  arguments: voidCodec,
  reply: voidCodec,
};
