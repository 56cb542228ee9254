import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ChatEvent, ChatRequest } from '#shared/api/chat-schemas.ts';

/** `/ws/chat` of a coordinator that a test answers for. */
export class ChatServer {
  readonly questions: ChatRequest[] = [];
  /** Lines that have ended. */
  closed = 0;
  answer: (say: (event: ChatEvent | string) => void, line: WebSocket) => void = () => {};
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (line) => {
      line.on('close', () => {
        this.closed += 1;
      });
      line.on('message', (data) => {
        this.questions.push(JSON.parse(String(data)) as ChatRequest);
        this.answer((event) => line.send(typeof event === 'string' ? event : JSON.stringify(event)), line);
      });
    });
  }

  static async start(): Promise<ChatServer> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/ws/chat' });
    await once(server, 'listening');
    return new ChatServer(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Answers every question with these pieces. */
  says(...pieces: string[]): void {
    this.answer = (say) => {
      for (const text of pieces) say({ type: 'token', text });
      say({
        type: 'done',
        tokens: pieces.length,
        finish_reason: 'stop',
        model_root: '0'.repeat(64),
        height: 3,
      });
    };
  }

  close(): Promise<void> {
    for (const line of this.#server.clients) line.terminate();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
