import type { AccountView, EntriesView, EntryView, TransferView } from '#shared/api/account-schemas.ts';
import type { ModelView } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { parseAmount } from '#shared/money.ts';
import type { AllowanceRequest } from '#shared/protocol/allowance.ts';
import type { BrowserWallet, GetJson, PostJson, WatchWallets } from '../net/ports.ts';
import { refusalWords } from '../text/refusal-words.ts';

/** What a token of an answer costs is what the newest Meta block says. */
interface Priced {
  readonly fields: { readonly fees?: { readonly chat_token_units?: number | string } };
}

/** Longer than anybody talks in one sitting. */
const ALLOWED_SECONDS = 3_600;
/** Long enough to look at what one signs, short enough that a lost signature is soon worth nothing. */
const EXPIRY_SECONDS = 600;
const PAGE = 8;

export interface Payment {
  /** As typed. */
  readonly to: string;
  readonly amount: string;
}

/** What the account card shows. */
export interface AccountState {
  readonly wallets: readonly BrowserWallet[];
  /** The wallet that signs for the account shown; null where it is only looked at. */
  readonly wallet: BrowserWallet | null;
  readonly account: AccountView | null;
  /** Newest first. */
  readonly entries: readonly EntryView[];
  /** `before` of the next page; null where there is none. */
  readonly next: number | null;
  /** Waits for the wallet or the pool. */
  readonly busy: 'connecting' | 'signing' | 'sending' | null;
  readonly error: string | null;
  readonly paid: TransferView | null;
  /** What a token of an answer costs, base units; 0 where chats are free. */
  readonly tokenUnits: bigint;
  /** What the wallet lets chats cost; sent along with every question. */
  readonly allowance: AllowanceRequest | null;
}

const NOTHING: AccountState = {
  wallets: [],
  wallet: null,
  account: null,
  entries: [],
  next: null,
  busy: null,
  error: null,
  paid: null,
  tokenUnits: 0n,
  allowance: null,
};

export interface AccountPorts {
  readonly get: GetJson;
  readonly post: PostJson;
  readonly watchWallets: WatchWallets;
  readonly now: () => number;
}

/**
 * One account of the pool, and the wallet of the browser that holds its key: connects, reads, pays. A Svelte store.
 * The key never leaves the wallet; what it signs is the typed data of PROTOCOL §13, which it shows to its owner.
 */
export class AccountClient {
  readonly #ports: AccountPorts;
  readonly #listeners = new Set<(state: AccountState) => void>();
  #state = NOTHING;
  #forget: () => void = () => undefined;

  constructor(ports: AccountPorts) {
    this.#ports = ports;
  }

  subscribe(listener: (state: AccountState) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#state);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#ports.watchWallets((wallet) => this.#set({ wallets: [...this.#state.wallets, wallet] }));
  }

  /** Reads what chats cost, as when the rules may have changed. */
  async readPrice(): Promise<void> {
    const meta = (await this.#ports.get('meta').catch(() => null)) as Priced | null;
    const units = meta?.fields.fees?.chat_token_units;
    if (units !== undefined) this.#set({ tokenUnits: BigInt(String(units).replace('n', '')) });
  }

  /** Has the wallet allow chats to cost so many tokens in the next hour. True where it did. */
  async allowChats(amount: string): Promise<boolean> {
    const { wallet, account } = this.#state;
    if (!wallet || !account) return false;
    return this.#run('signing', async () => {
      const { allowanceTypedData } = await import('#shared/protocol/allowance-typed-data.ts');
      const { network } = (await this.#ports.get('model')) as ModelView;
      const typed = allowanceTypedData(fromHex(network, 32), {
        account: account.address,
        limit: parseAmount(amount.trim()),
        nonce: BigInt(this.#ports.now()),
        expiry: BigInt(Math.floor(this.#ports.now() / 1000) + ALLOWED_SECONDS),
      });
      const signature = canonical(await signTyped(wallet, account.address, typed));
      this.#set({ allowance: { ...typed.message, signature } });
    });
  }

  /** Asks a wallet for an account of its owner's. */
  async connect(wallet: BrowserWallet): Promise<void> {
    await this.#run('connecting', async () => {
      const accounts = await wallet.provider.request({ method: 'eth_requestAccounts' });
      await this.#use(wallet, accounts);
    });
  }

  /** Shows any account, without a wallet. */
  async look(address: string): Promise<void> {
    await this.#run('connecting', async () => {
      const { parseAddress } = await import('#shared/crypto/keys.ts');
      const parsed = parseAddress(address.trim());
      this.#leave();
      await this.#load(parsed);
    });
  }

  disconnect(): void {
    this.#leave();
    const { wallets, tokenUnits } = this.#state;
    this.#set({ ...NOTHING, wallets, tokenUnits });
  }

  /** Reads the account again, as when the head has moved. */
  async refresh(): Promise<void> {
    const { account, busy } = this.#state;
    if (account && busy === null) await this.#load(account.address).catch(() => undefined);
  }

  async more(): Promise<void> {
    const { account, next, entries } = this.#state;
    if (!account || next === null) return;
    const page = await this.#entries(account.address, `&before=${next}`);
    this.#set({ entries: [...entries, ...page.entries], next: page.next });
  }

  /** Has the wallet sign a transfer and gives it to the pool. True where it is in the journal. */
  async pay({ to, amount }: Payment): Promise<boolean> {
    const { wallet, account } = this.#state;
    if (!wallet || !account) return false;
    return this.#run('signing', async () => {
      const transfer = await this.#transferOf(account.address, { to, amount });
      const { typed, message } = transfer;
      const signed = await signTyped(wallet, account.address, typed);
      this.#set({ busy: 'sending' });
      const request = { ...message, signature: canonical(signed) };
      const paid = (await this.#ports.post('transfer', request)) as TransferView;
      await this.#load(account.address);
      this.#set({ paid });
    });
  }

  async #transferOf(from: string, payment: Payment) {
    // Late: most who look at the page pay nobody.
    const [{ BURN_ADDRESS, transferTypedData }, { parseAddress }] = await Promise.all([
      import('#shared/protocol/transfer-typed-data.ts'),
      import('#shared/crypto/keys.ts'),
    ]);
    const to = parseAddress(payment.to.trim());
    // Whoever means it can say so to `aiblock wallet send`.
    if (to === BURN_ADDRESS)
      throw new Error('nobody has the key of this address: what is paid to it is burned');
    const amount = parseAmount(payment.amount.trim());
    const { network } = (await this.#ports.get('model')) as ModelView;
    const { nonce } = (await this.#ports.get(`accounts/${from}`)) as AccountView;
    const expiry = BigInt(Math.floor(this.#ports.now() / 1000) + EXPIRY_SECONDS);
    const typed = transferTypedData(fromHex(network, 32), { from, to, amount, nonce: BigInt(nonce), expiry });
    return { typed, message: typed.message };
  }

  async #use(wallet: BrowserWallet, accounts: unknown): Promise<void> {
    const [first] = Array.isArray(accounts) ? (accounts as unknown[]) : [];
    if (typeof first !== 'string') throw new Error('it names no account');
    const { parseAddress } = await import('#shared/crypto/keys.ts');
    const address = parseAddress(first);
    this.#leave();
    await this.#load(address);
    this.#set({ wallet });
    const changed = (value: unknown) => void this.#changed(wallet, value);
    wallet.provider.on?.('accountsChanged', changed);
    this.#forget = () => wallet.provider.removeListener?.('accountsChanged', changed);
  }

  /** Its owner chose another account in the wallet, or took the permission back. */
  async #changed(wallet: BrowserWallet, accounts: unknown): Promise<void> {
    if (!Array.isArray(accounts) || accounts.length === 0) return this.disconnect();
    await this.#run('connecting', () => this.#use(wallet, accounts));
  }

  #leave(): void {
    this.#forget();
    this.#forget = () => undefined;
    this.#set({ wallet: null, paid: null, allowance: null });
  }

  async #load(address: string): Promise<void> {
    const [account, page] = await Promise.all([
      this.#ports.get(`accounts/${address}`) as Promise<AccountView>,
      this.#entries(address),
    ]);
    this.#set({ account, entries: page.entries, next: page.next });
  }

  #entries(address: string, query = ''): Promise<EntriesView> {
    return this.#ports.get(`accounts/${address}/entries?limit=${PAGE}${query}`) as Promise<EntriesView>;
  }

  /** One thing at a time; what goes wrong is told in words. */
  async #run(busy: NonNullable<AccountState['busy']>, work: () => Promise<void>): Promise<boolean> {
    if (this.#state.busy !== null) return false;
    this.#set({ busy, error: null, paid: null });
    try {
      await work();
      return true;
    } catch (error) {
      this.#set({ error: refusalWords(error) });
      return false;
    } finally {
      this.#set({ busy: null });
    }
  }

  #set(change: Partial<AccountState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener(this.#state);
  }
}

function signTyped(wallet: BrowserWallet, address: string, typed: object): Promise<unknown> {
  return wallet.provider.request({
    method: 'eth_signTypedData_v4',
    params: [address, JSON.stringify(typed)],
  });
}

/** Some hardware wallets end a signature with 0 or 1 where the pool, and Ethereum, write 27 or 28. */
function canonical(signature: unknown): string {
  const text = typeof signature === 'string' ? signature.toLowerCase() : '';
  return /^0x[0-9a-f]{128}0[01]$/.test(text)
    ? `${text.slice(0, -2)}${text.endsWith('0') ? '1b' : '1c'}`
    : text;
}
