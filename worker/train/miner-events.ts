import { type ErrorDetails, PoolError } from '#shared/errors/pool-error.ts';

/**
 * How training went on when the head moved: `ours`: from its own weights, which nobody else changed; `merged`: with
 * its change added to another miner's; `restarted`: from the head as it is.
 */
export type Continuation = 'ours' | 'merged' | 'restarted';

/** What a miner tells while it works; `--json` prints these as they are. */
export type MinerEvent =
  | {
      readonly type: 'ready';
      readonly network: string;
      readonly address: string;
      readonly backend: string;
      readonly text: string;
      readonly trainingTokens: number;
      readonly parameters: number;
    }
  | {
      readonly type: 'head';
      readonly height: number;
      readonly root: string;
      readonly continued: Continuation;
    }
  | {
      readonly type: 'step';
      readonly step: number;
      /** Mean cross-entropy of the training batch, in nats. */
      readonly loss: number;
      readonly tokens: number;
      readonly tokensPerSecond: number;
      readonly learningRate: number;
    }
  | {
      readonly type: 'checkpoint';
      readonly step: number;
      /** `outdated`: of another head than the present one, from which training begins anew. */
      readonly state: 'resumed' | 'outdated' | 'saved';
    }
  | {
      readonly type: 'estimate';
      /** Mean losses on a sample of public windows, in nats. */
      readonly headNats: number;
      readonly candidateNats: number;
      readonly gainNats: number;
      readonly marginNats: number;
      /** Tokens that workers should need to accept it, and tokens trained since the last accepted submission. */
      readonly priceTokens: number;
      readonly trainedTokens: number;
      /** `early`: it should pass, but is not yet worth that price. */
      readonly send: boolean;
      readonly early: boolean;
    }
  | { readonly type: 'sent'; readonly submission: string; readonly bytes: number }
  | { readonly type: 'state'; readonly submission: string; readonly state: string }
  | {
      readonly type: 'accepted';
      readonly submission: string;
      readonly lossBeforeNats: number | null;
      readonly lossAfterNats: number | null;
      /** Base units, as decimal text. */
      readonly reward: string | null;
      /** Tokens that workers put through the model for it, and tokens trained since the last accepted one. */
      readonly evaluationTokens: number;
      readonly trainedTokens: number;
    }
  | {
      readonly type: 'rejected';
      readonly submission: string;
      readonly code: string;
      readonly message: string;
      readonly details: ErrorDetails;
      readonly evaluationTokens: number;
    }
  | { readonly type: 'balance'; readonly units: string }
  | { readonly type: 'trouble'; readonly code: string; readonly message: string };

/** What is no refusal of ours or the pool's is thrown again. */
export function reportTrouble(
  report: (event: MinerEvent) => void,
  error: unknown,
  signal: AbortSignal,
): void {
  if (signal.aborted) return;
  if (!(error instanceof PoolError)) throw error;
  report({ type: 'trouble', code: error.code, message: error.message });
}
