import { once } from 'node:events';
import { connect } from 'node:net';
import type { Answer } from '#test/helpers/candidate.ts';

/** A POST with headers that no honest client sends, written as they are; the answer, or undefined where none came. */
export async function roughPost(
  url: string,
  headers: readonly string[],
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<Answer | undefined> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect');
  socket.write(
    `POST ${pathname} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n${headers.join('\r\n')}\r\n\r\n`,
  );
  for await (const piece of body) {
    if (socket.destroyed) break;
    if (!socket.write(piece))
      await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
  }
  // Ours stays open: Node's server takes a half-closed connection for one that was given up.
  await closed;
  socket.destroy();
  const [head = '', text = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  return head === '' ? undefined : { status, body: JSON.parse(text) };
}
