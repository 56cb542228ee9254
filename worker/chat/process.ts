import {
  type AnswerRequest,
  CHAT_ENGINE_DEFAULTS,
  ChatEngine,
  type ModelWanted,
} from '#worker/chat/chat-engine.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { serve } from '#worker/process/serve.ts';
import { type ChildSetting, openPayloads } from '#worker/process/setting.ts';

/* The chat process: holds the head's model and answers with it, beside evaluation, which it must not slow. */

export type ChatProcessRequest =
  | { readonly kind: 'start' }
  | ({ readonly kind: 'load' } & ModelWanted)
  | ({ readonly kind: 'answer' } & AnswerRequest);

const setting = JSON.parse(process.argv[2] ?? '{}') as ChildSetting;
const backend = startBackend(setting.backend, setting.adapter);
const { memoryBudgetBytes } = setting;
const now = () => performance.now();
const engine = openPayloads(setting).then(
  (payloads) => new ChatEngine({ ...CHAT_ENGINE_DEFAULTS, memoryBudgetBytes }, { payloads, now }),
);
// Their failures are answers to requests.
backend.catch(() => {});
engine.catch(() => {});

serve(process, async (request, context) => {
  const started = await backend;
  const wanted = request as ChatProcessRequest;
  if (wanted.kind === 'start') return started;
  if (wanted.kind === 'load') return (await engine).load(wanted, context.signal);
  return (await engine).answer(wanted, context);
});
