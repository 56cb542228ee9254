import { mount } from 'svelte';
import App from './app.svelte';
import { getJson, openSocket, timers } from './net/browser.ts';
import { PoolClient } from './state/pool-client.ts';
import './styles/tokens.css';
import './styles/base.css';

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');

const pool = new PoolClient({ get: getJson, open: openSocket, timers, random: Math.random });
mount(App, { target, props: { pool, open: openSocket } });
pool.start();
addEventListener('online', () => pool.retryNow());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') pool.retryNow();
});
