import type { BrowserWallet, WalletProvider, WatchWallets } from './ports.ts';

/** What a wallet announces, as EIP-6963 has it. Its icon is not shown: the page loads nothing that is not its own. */
interface Announcement {
  readonly info?: { readonly uuid?: unknown; readonly name?: unknown };
  readonly provider?: WalletProvider;
}

/** A wallet of before EIP-6963 only stands in the window; new ones have announced themselves by then. */
const LEGACY_WAIT_MS = 300;
const MAX_NAME_CHARS = 40;

/** Wallets of the browser: those that announce themselves, or the one in `window.ethereum` where none does. */
export const watchWallets: WatchWallets = (found) => {
  const known = new Set<string>();
  const heard = (event: Event) => {
    const wallet = walletOf((event as CustomEvent<Announcement>).detail);
    if (!wallet || known.has(wallet.id)) return;
    known.add(wallet.id);
    found(wallet);
  };
  addEventListener('eip6963:announceProvider', heard);
  dispatchEvent(new Event('eip6963:requestProvider'));
  const timer = setTimeout(() => {
    const { ethereum } = window as { ethereum?: WalletProvider };
    if (known.size === 0 && typeof ethereum?.request === 'function')
      found({ id: 'window.ethereum', name: 'Browser wallet', provider: ethereum });
  }, LEGACY_WAIT_MS);
  return () => {
    clearTimeout(timer);
    removeEventListener('eip6963:announceProvider', heard);
  };
};

function walletOf(announced: Announcement | null | undefined): BrowserWallet | null {
  const { uuid, name } = announced?.info ?? {};
  const provider = announced?.provider;
  if (typeof uuid !== 'string' || typeof name !== 'string' || typeof provider?.request !== 'function')
    return null;
  return { id: uuid, name: name.slice(0, MAX_NAME_CHARS), provider };
}
