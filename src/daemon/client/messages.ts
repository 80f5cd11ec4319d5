/** The messages of an event stream (HTML standard, 9.2.6), as they arrive. */
import { StringDecoder } from 'node:string_decoder';
import { misunderstood } from './transport.ts';

export interface StreamMessage {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: string;
}

/** Of one message: a session's view and an error with a stack are some KiB. */
const messageCharacters = 4 * 1024 * 1024;

/** Comments are left out, `onBytes` hears of them too. */
export async function* messagesOf(chunks: AsyncIterable<Buffer>, onBytes: () => void): AsyncGenerator<StreamMessage> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of chunks) {
    onBytes();
    rest += decoder.write(chunk);
    const parts = rest.split('\n\n');
    rest = parts.pop()!;
    if (rest.length > messageCharacters) throw misunderstood('a message of its stream does not end');
    for (const part of parts) {
      const message = parseMessage(part);
      if (message !== undefined) yield message;
    }
  }
}

/** Undefined: nothing but comments. */
function parseMessage(text: string): StreamMessage | undefined {
  let id: string | undefined;
  let event = 'message';
  const data: string[] = [];
  for (const line of text.split('\n')) {
    const [, field, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (field === 'id') id = value;
    else if (field === 'event') event = value!;
    else if (field === 'data') data.push(value!);
  }
  return data.length === 0 ? undefined : { id, event, data: data.join('\n') };
}
