import { Evaluation, type LossRequest } from '#worker/evaluate/evaluation.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { serve } from '#worker/process/serve.ts';
import { type ChildSetting, openPayloads } from '#worker/process/setting.ts';

/*
 * The evaluation process: TensorFlow.js and strangers' weights live here, away from the WebSocket. It may
 * hang, run out of memory or crash; the worker goes on.
 */

export type EvaluationRequest = { readonly kind: 'start' } | ({ readonly kind: 'losses' } & LossRequest);

const setting = JSON.parse(process.argv[2] ?? '{}') as ChildSetting;
const backend = startBackend(setting.backend, setting.adapter);
const evaluation = openPayloads(setting).then(
  (payloads) =>
    new Evaluation(payloads, { now: () => performance.now(), budgetBytes: setting.memoryBudgetBytes }),
);
// Their failures are answers to requests.
backend.catch(() => {});
evaluation.catch(() => {});

serve(process, async (request, context) => {
  const started = await backend;
  const wanted = request as EvaluationRequest;
  return wanted.kind === 'start' ? started : (await evaluation).losses(wanted, context);
});
