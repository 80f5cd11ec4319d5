/** Floor 3: the portmapper (RFC 1833 3), server and client, and registration with rpcbind. */
export { type PortmapCallOptions, portmapClient } from './client.ts';
export { type Mapping, type Protocol, portmapPort, portmapProgram, protocolNumber } from './protocol.ts';
export { portmapHolder, registerWithRpcbind, unregister } from './rpcbind.ts';
export { PortmapServer, type PortmapServerOptions } from './server.ts';
