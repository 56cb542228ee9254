import { mount } from 'svelte';
import App from './app.svelte';
import { getJson, openSocket, postJson, timers } from './net/browser.ts';
import { watchWallets } from './net/wallets.ts';
import { AccountClient } from './state/account-client.ts';
import { PoolClient } from './state/pool-client.ts';
import './styles/tokens.css';
import './styles/base.css';

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');

const pool = new PoolClient({ get: getJson, open: openSocket, timers, random: Math.random });
const account = new AccountClient({ get: getJson, post: postJson, watchWallets, now: () => Date.now() });
mount(App, { target, props: { pool, account, open: openSocket } });
pool.start();
account.start();
addEventListener('online', () => pool.retryNow());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') pool.retryNow();
});
