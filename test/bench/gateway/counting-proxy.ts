import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Passes connections on to a port of this machine, and counts what comes back for HTTP: heads, bodies and all. */
export class CountingProxy {
  /** Bytes to the client on connections that are no WebSocket. */
  bytes = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: number) {
    this.#server = createServer((client) => this.#serve(client, connect(target, '127.0.0.1')));
  }

  static async start(target: number): Promise<CountingProxy> {
    const proxy = new CountingProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(client: Socket, target: Socket): void {
    let isWebSocket = false;
    client.on('data', (chunk) => {
      isWebSocket ||= chunk.subarray(0, 8).toString('latin1') === 'GET /ws/';
      target.write(chunk);
    });
    target.on('data', (chunk) => {
      if (!isWebSocket) this.bytes += chunk.length;
      client.write(chunk);
    });
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.end();
      });
    }
  }
}
