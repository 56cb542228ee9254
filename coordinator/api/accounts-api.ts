import { adjustmentView, entryView, paidChatView, transferProofView } from '#coordinator/api/views.ts';
import type { Chain } from '#coordinator/chain/chain.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import type { Adjustments } from '#coordinator/ledger/adjustments.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { Transfers } from '#coordinator/ledger/transfers.ts';
import type { EntryView } from '#shared/api/account-schemas.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { accruedAccount } from '#shared/reward/keyless-account.ts';

/** What moves money, where the pool is not only read. */
export interface PayingParts {
  readonly adjustments: Pick<Adjustments, 'submit'>;
  readonly transfers: Pick<Transfers, 'submit'>;
}

type AccountsApi = Pick<
  PoolApi,
  'account' | 'accountEntries' | 'adjustment' | 'adjust' | 'transfer' | 'transferProof' | 'paidChat'
>;

/** Accounts, their entries, and what was signed for these. */
export function accountsApi(parts: { chain: Chain; ledger: Ledger; live?: PayingParts }): AccountsApi {
  const { chain, ledger, live } = parts;
  return {
    account: async (address) => ({
      address,
      balance: (await ledger.balance(address)).toString(),
      vesting: (await ledger.vesting(address)).toString(),
      accrued: (await ledger.balance(accruedAccount(chain.networkId, address))).toString(),
      nonce: (await ledger.nonce(address)).toString(),
    }),
    accountEntries: async (address, page) => {
      const entries = await ledger.accountEntries(address, page);
      return Promise.all(entries.map((entry) => shown(ledger, entry)));
    },
    adjustment: async (digest) => {
      const record = await ledger.adjustment(digest);
      return record && adjustmentView(record);
    },
    transferProof: async (digest) => {
      const record = await ledger.transfer(digest);
      return record && transferProofView(record);
    },
    paidChat: async (ref) => {
      const found = await ledger.paidChat(ref);
      return found && paidChatView(found);
    },
    ...(live ? payingApi(live) : {}),
  };
}

function payingApi(live: PayingParts): Pick<AccountsApi, 'adjust' | 'transfer'> {
  return {
    adjust: async (request) => {
      const { entry, isNew } = await live.adjustments.submit(request);
      return { view: adjustmentView({ entry, request }), isNew };
    },
    transfer: async (request) => {
      const { digest, entry, isNew } = await live.transfers.submit(request);
      return { view: { digest: toHex(digest), entry: entryView(entry) }, isNew };
    },
  };
}

/** An adjustment with its reason, any other entry as it is. */
async function shown(ledger: Ledger, entry: JournalEntry): Promise<EntryView> {
  const record = entry.kind === 'adjustment' ? await ledger.adjustment(entry.ref) : undefined;
  return record ? adjustmentView(record).entry : entryView(entry);
}
