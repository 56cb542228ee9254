import type { Chain } from '#coordinator/chain/chain.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { decodeUnit, WORK_KINDS, type WorkKind, type WorkPlaces } from '#shared/block/work-log.ts';
import { type Holding, UnitWindow, type WindowSpan, windowSpan } from '#shared/reward/unit-window.ts';

/** Units that are read at once when a window is built from the store. */
const PAGE = 1_000;

/** What shares the next reward of one kind of work. */
export interface SharedWork {
  readonly span: WindowSpan;
  readonly holdings: readonly Holding[];
}

export interface WindowsNow {
  readonly places: WorkPlaces;
  readonly evaluation: SharedWork;
  readonly grinding: SharedWork;
}

/**
 * The windows of both kinds of work, kept in memory as the logs grow, so that planning a reward reads nothing. They
 * are built from the store at the first use, and where a new Meta block lets them begin earlier.
 */
export class RewardWindows {
  readonly #units: WorkUnits;
  readonly #chain: Pick<Chain, 'meta' | 'sealed'>;
  readonly #windows: Record<WorkKind, UnitWindow>;

  constructor(units: WorkUnits, chain: Pick<Chain, 'meta' | 'sealed'>) {
    this.#units = units;
    this.#chain = chain;
    const { evaluation, grinding } = units.places;
    this.#windows = {
      evaluation: new UnitWindow(evaluation.seq),
      grinding: new UnitWindow(grinding.seq),
    };
    units.onAppended((kind, appended) => {
      for (const unit of appended) this.#windows[kind].add(unit);
    });
  }

  /** The windows by the ruling Meta block, and the places of the logs that they end at. */
  async now(): Promise<WindowsNow> {
    const isShort = (kind: WorkKind) => this.#span(kind).from < this.#windows[kind].first;
    for (let kind = WORK_KINDS.find(isShort); kind; kind = WORK_KINDS.find(isShort))
      await this.#rebuild(kind);
    return {
      places: this.#units.places,
      evaluation: this.#held('evaluation'),
      grinding: this.#held('grinding'),
    };
  }

  #span(kind: WorkKind): WindowSpan {
    const { meta, sealed } = this.#chain;
    const place = { sealed: sealed.work[kind].seq, next: this.#units.places[kind].seq };
    return windowSpan(meta.manifest.reward, kind, place);
  }

  #held(kind: WorkKind): SharedWork {
    const span = this.#span(kind);
    const holdings = this.#windows[kind].holdings(span);
    this.#windows[kind].forget(Math.min(span.from, this.#chain.sealed.work[kind].seq));
    return { span, holdings };
  }

  /** Reads from where the span begins until nothing was appended meanwhile, then takes the old one's place. */
  async #rebuild(kind: WorkKind): Promise<void> {
    const window = new UnitWindow(this.#span(kind).from);
    // Not those that are on the disk already and not yet appended: the listener is told of them.
    const left = () => Math.min(PAGE, this.#units.places[kind].seq - window.next);
    while (left() > 0)
      for (const bytes of await this.#units.encoded(kind, window.next, left())) window.add(decodeUnit(bytes));
    this.#windows[kind] = window;
  }
}
