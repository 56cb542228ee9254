import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import { WorkAudit } from '#shared/block/audit-work.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import type { WorkKind, WorkUnit } from '#shared/block/work-log.ts';
import { bigintFromBytes, equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { evaluationCredit } from '#shared/reward/evaluation-credit.ts';
import { type Holding, UnitWindow, type WindowSpan } from '#shared/reward/unit-window.ts';
import { at, onBlock } from '#worker/audit/finding.ts';
import type { HeldOutWork } from '#worker/audit/held-out.ts';
import type { AuditSource } from '#worker/audit/source.ts';

export interface WorkReaderInputs {
  readonly networkId: Uint8Array;
  readonly kind: WorkKind;
  readonly seals: readonly SealedSubmission[];
  readonly heldOut: HeldOutWork;
}

/** Replays one log of work over the API, unit after unit, and keeps the window that rewards are split over. */
export class WorkReader {
  readonly #source: AuditSource;
  readonly #kind: WorkKind;
  readonly #audit: WorkAudit;
  readonly #window = new UnitWindow();
  /** The largest window that any Meta block asked for: so far back a span may begin. */
  readonly #windowUnits: number;
  readonly #bySubmission: ReadonlyMap<string, SealedSubmission>;
  readonly #heldOut: HeldOutWork;
  /** Of one window, by what a Meta block describes. */
  readonly #credits = new Map<MetaBlock, bigint>();
  /** Evaluations, by submission and worker. */
  readonly #credited = new Set<string>();
  #page: readonly Uint8Array[] = [];

  constructor(source: AuditSource, { networkId, kind, seals, heldOut }: WorkReaderInputs) {
    this.#source = source;
    this.#kind = kind;
    this.#audit = new WorkAudit(networkId, kind);
    this.#windowUnits = Math.max(...seals.map(({ meta }) => meta.manifest.reward.window_units));
    this.#heldOut = heldOut;
    this.#bySubmission = new Map(seals.map((sealed) => [toHex(sealed.submission), sealed]));
    for (const { seal, after } of seals)
      onBlock('B', after.position.index, () => this.#audit.seal(after.position.index, seal));
  }

  get count(): number {
    return this.#audit.place.seq;
  }

  /** Reads on up to below unit `to`. JOURNAL where a unit is missing, does not link, or is no work that was done. */
  async readTo(to: number): Promise<void> {
    while (this.count < to) {
      const from = this.count;
      if (this.#page.length === 0) this.#page = await this.#source.workUnits(this.#kind, from);
      const [now, later] = [this.#page.slice(0, to - from), this.#page.slice(to - from)];
      this.#page = later;
      for (const bytes of now) this.#append(bytes);
      this.#at(() => must(this.count > from, 'JOURNAL', 'this unit is missing'));
    }
  }

  /** JOURNAL where an attestation of a submission that was sealed before what is read now has no credit. */
  mustCredit({ submission, seal }: SealedSubmission): void {
    for (const { worker } of seal.certificate?.attestations ?? [])
      must(
        this.#credited.has(toHex(submission) + toHex(worker)),
        'JOURNAL',
        () => `the work of ${toHex(worker)} on submission ${toHex(submission)} was never credited`,
      );
  }

  /** What each worker has in the span, which ends with the unit read last. */
  holdings(span: WindowSpan): readonly Holding[] {
    const holdings = [...this.#window.holdings(span)];
    this.#window.forget(Math.min(span.from, span.to - this.#windowUnits));
    return holdings;
  }

  #append(bytes: Uint8Array): void {
    this.#at(() => {
      const unit = this.#audit.append(bytes);
      if (this.#kind === 'evaluation') this.#checkEvaluation(unit);
      else checkGrinding(unit);
      this.#window.add(unit);
    });
  }

  /** Credit is for an attestation of a sealed submission, or a held-out check, with what went through the model. */
  #checkEvaluation({ seq, ref, worker, credit }: WorkUnit): void {
    const sealed = this.#bySubmission.get(toHex(ref));
    const judged = sealed && {
      meta: sealed.meta,
      from: sealed.seal.work.evaluation.seq,
      attestations: sealed.seal.certificate?.attestations ?? [],
    };
    const results = judged ?? this.#heldOut.get(toHex(ref));
    const attestation = results?.attestations.find((one) => equalBytes(one.worker, worker));
    must(
      results && attestation,
      'JOURNAL',
      () => `it credits ${toHex(worker)} for submission ${toHex(ref)}, of which there is no such attestation`,
    );
    must(
      seq >= results.from,
      'JOURNAL',
      `it stands before unit ${results.from}, when nothing of it was known`,
    );
    const expected = this.#creditOf(results.meta, attestation.base.length);
    must(credit === expected, 'JOURNAL', `expected a credit of ${expected}, got ${credit}`);
    this.#credited.add(toHex(ref) + toHex(worker));
  }

  #creditOf(meta: MetaBlock, windows: number): bigint {
    const ofOne = this.#credits.get(meta) ?? evaluationCredit(meta.manifest, 1);
    this.#credits.set(meta, ofOne);
    return ofOne * BigInt(windows);
  }

  #at<T>(check: () => T): T {
    return at(`${this.#kind} unit ${this.count}`, check);
  }
}

/** A hash that takes so many tries on average lies below 2²⁵⁶ / credit. */
function checkGrinding({ ref, credit }: WorkUnit): void {
  must(
    bigintFromBytes(ref) * credit < 2n ** 256n,
    'JOURNAL',
    () => `its hash ${toHex(ref)} is not worth a credit of ${credit}`,
  );
}
