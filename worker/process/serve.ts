import { PoolError } from '#shared/errors/pool-error.ts';
import type { FromChild, ToChild } from '#worker/process/messages.ts';

/** The child's side of the line to its parent: the part of `process` that is used. */
export interface ParentPort {
  send?(message: FromChild): boolean;
  on(event: 'message', listener: (message: ToChild) => void): unknown;
  on(event: 'disconnect' | 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown;
  readonly stderr: { write(text: string): unknown };
  exit(code: number): void;
}

export interface RequestContext {
  /** Aborted when the parent no longer wants the answer. */
  readonly signal: AbortSignal;
  emit(event: unknown): void;
}

export type RequestHandler = (request: unknown, context: RequestContext) => Promise<unknown>;

/**
 * Answers the parent's requests in a child process. Signals of a terminal's Ctrl-C are left to the parent,
 * and the child ends when its parent does.
 */
export function serve(port: ParentPort, handle: RequestHandler): void {
  const running = new Map<number, AbortController>();
  const send = (message: FromChild) => port.send?.(message);
  port.on('SIGINT', () => {});
  port.on('SIGTERM', () => {});
  port.on('disconnect', () => port.exit(0));
  // Before the WebAssembly backend sets its own, which would print its whole source.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    port.on(event, (error) => {
      port.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      port.exit(1);
    });
  }
  port.on('message', (message) => {
    if (message.kind === 'cancel') return running.get(message.id)?.abort();
    const { id, request } = message;
    const abort = new AbortController();
    running.set(id, abort);
    const emit = (event: unknown) => send({ kind: 'event', id, event });
    handle(request, { signal: abort.signal, emit })
      .then((result) => send({ kind: 'result', id, result }))
      .catch((error: unknown) => send({ kind: 'error', id, error: describe(error) }))
      .finally(() => running.delete(id));
  });
}

/** The parent is us, so an unexpected error keeps its text. */
function describe(error: unknown) {
  if (error instanceof PoolError) return error.toObject();
  return new PoolError('INTERNAL', error instanceof Error ? error.message : String(error)).toObject();
}
