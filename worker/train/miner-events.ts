import type { ErrorDetails } from '#shared/errors/pool-error.ts';

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
      /** Ours, or another miner's, from which training starts again. */
      readonly ours: boolean;
    }
  | {
      readonly type: 'step';
      readonly step: number;
      /** Mean cross-entropy of the training batch, in nats. */
      readonly loss: number;
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
      readonly send: boolean;
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
    }
  | {
      readonly type: 'rejected';
      readonly submission: string;
      readonly code: string;
      readonly message: string;
      readonly details: ErrorDetails;
    }
  | { readonly type: 'balance'; readonly units: string }
  | { readonly type: 'trouble'; readonly code: string; readonly message: string };
