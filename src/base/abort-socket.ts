/**
 * Ends a TCP connection at once with a reset, which leaves no TIME_WAIT behind: its source port can be bound again.
 *
 * Node's own `resetAndDestroy` says goodbye first (end, shutdown(2)): that waits for unsent bytes, for ever if the other side is silent;
 * and if the connection is lost while shutdown(2) is under way, the handle is never closed, and its process or worker turns for
 * ever when it should end (seen with Node 24.21). So nothing is said here, and where it has been said already the socket is closed as it is.
 */
import type { Socket } from 'node:net';

export function abortSocket(socket: Socket): void {
  if (socket.connecting || socket.writableEnded) {
    socket.destroy();
    return;
  }
  // What `resetAndDestroy` would call to say goodbye.
  socket.destroySoon = () => {
    socket.destroy();
  };
  socket.resetAndDestroy();
}
