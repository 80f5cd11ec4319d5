/** Floor 3: Viaduct's own RPC program beside NFS on the same connection: hello, write leases, conditional changes. */
export { channelClient } from './client.ts';
export { setattrIf, writeIf } from './conditional.ts';
export { type HelloArguments, type HelloReply, hello } from './hello.ts';
export { type ChannelProgramOptions, channelProgram } from './program.ts';
export { channelProgram as channelNumbers, Feature, protocolVersion, wireLimits } from './protocol.ts';
