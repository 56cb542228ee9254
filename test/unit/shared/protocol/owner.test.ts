import assert from 'node:assert/strict';
import { it } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import { provenOwner, proveOwner } from '#shared/protocol/owner.ts';

const key = (byte: number) => keyPair(new Uint8Array(32).fill(byte));
const network = new Uint8Array(32).fill(9);
const [worker, owner] = [key(1), key(2)];
const proof = proveOwner(network, worker.publicKey, owner);

it('gives the address of who signed', () => {
  assert.equal(provenOwner(network, worker.publicKey, proof), owner.address);
});

it('SIGNATURE: for another worker, on another network, by another key, or none', () => {
  const refused = (...args: Parameters<typeof provenOwner>) =>
    assert.throws(() => provenOwner(...args), { code: 'SIGNATURE' });
  refused(network, key(3).publicKey, proof);
  refused(new Uint8Array(32), worker.publicKey, proof);
  refused(network, worker.publicKey, {
    ...proof,
    publicKey: proveOwner(network, worker.publicKey, key(3)).publicKey,
  });
  refused(network, worker.publicKey, { ...proof, signature: '00'.repeat(64) });
  refused(network, worker.publicKey, { ...proof, publicKey: '00'.repeat(33) });
});
