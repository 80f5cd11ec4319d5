/** A local process of some user that claims uids in AUTH_SYS from an ordinary source port (DESIGN.md, rule 12). */
import { spawn } from 'node:child_process';

export interface Claim {
  readonly uid: number;
  readonly outcome: string;
}

/** Plain JavaScript for `node -e`: sends a GETATTR of no handle for each uid and prints what became of it. */
const program = `
const { connect } = require('node:net');
const [port, ...uids] = process.argv.slice(1).map(Number);
const results = [];
const next = () => {
  const uid = uids.shift();
  if (uid === undefined) return console.log(JSON.stringify(results));
  const words = [7, 0, 2, 100003, 3, 0, 1, 20, 0, 0, uid, uid, 0, 0, 0];
  const message = Buffer.alloc(4 + 4 * words.length);
  message.writeUInt32BE(0x80000000 + 4 * words.length);
  words.forEach((word, i) => message.writeUInt32BE(word, 4 + 4 * i));
  const socket = connect(port, '127.0.0.1', () => socket.write(message));
  socket.on('data', (reply) => {
    const word = (i) => reply.readUInt32BE(4 + 4 * i);
    if (word(2) === 0) results.push({ uid, outcome: word(5) === 0 ? 'NFS3_OK' : 'accept_stat ' + word(5) });
    else results.push({ uid, outcome: word(3) === 1 && word(4) === 1 ? 'AUTH_BADCRED' : 'refused ' + word(3) + ' ' + word(4) });
    socket.destroy();
    next();
  });
};
next();
`;

export function claim(options: {
  readonly port: number;
  readonly runAs: number;
  readonly claims: readonly number[];
}): Promise<Claim[]> {
  const { port, runAs, claims } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', program, String(port), ...claims.map(String)], {
      uid: runAs,
      gid: runAs,
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 20_000,
    });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(output) as Claim[]);
      else reject(new Error(`the claiming process ended with ${code}`));
    });
  });
}
