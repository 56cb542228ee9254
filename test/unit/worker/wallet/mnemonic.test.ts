import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HDNodeWallet } from 'ethers';
import { PoolError } from '#shared/errors/pool-error.ts';
import { keyFromMnemonic, newMnemonic } from '#worker/wallet/mnemonic.ts';

/** The words of every Ethereum test network, and the addresses that MetaMask shows for them. */
const WORDS = 'test test test test test test test test test test test junk';

it('gives the accounts that MetaMask shows', () => {
  assert.equal(keyFromMnemonic(WORDS).address, '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266');
  assert.equal(keyFromMnemonic(WORDS, 1).address, '0x70997970C51812dc3A010C7d01b50e0d17dc79C8');
});

it('makes words that ethers reads, others each time', () => {
  const words = newMnemonic();
  assert.equal(words.split(' ').length, 12);
  assert.notEqual(words, newMnemonic());
  assert.equal(HDNodeWallet.fromPhrase(words).address, keyFromMnemonic(words).address);
});

it('does not mind blanks and capitals', () => {
  assert.equal(keyFromMnemonic(`  ${WORDS.toUpperCase()}\n`).address, keyFromMnemonic(WORDS).address);
});

it('MNEMONIC', () => {
  for (const words of [
    '',
    'test',
    WORDS.replace('junk', 'test'),
    `${WORDS} test`,
    WORDS.replace('junk', 'jnuk'),
  ])
    assert.throws(
      () => keyFromMnemonic(words),
      (error) => error instanceof PoolError && error.code === 'MNEMONIC',
    );
});
