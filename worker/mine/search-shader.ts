/** The round constants of SHA-256 (FIPS 180-4 §4.2.2). */
const K = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
] as const;

export const WORKGROUP = 256;
/** What `best` holds where no nonce was found. */
export const NOT_FOUND = 0xffff_ffff;
/** Places in `job`, in 32-bit words. */
export const JOB = { header: 0, target: 64, nonceHigh: 72, nonceLow: 73, count: 74, words: 75 } as const;

/**
 * WGSL. `prepare`, one invocation, brings the first 256 bytes of the header to their midstate. `search` gives
 * each invocation every n-th nonce of the range, n being the invocations, for one compression each; `best`
 * becomes the lowest offset from the first nonce that meets the target.
 */
export const SEARCH_SHADER = `
@group(0) @binding(0) var<storage, read> job: array<u32, ${JOB.words}>;
@group(0) @binding(1) var<storage, read_write> midstate: array<u32, 8>;
@group(0) @binding(2) var<storage, read_write> best: atomic<u32>;

@compute @workgroup_size(1)
fn prepare() {
  var state = array<u32, 8>(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19);
  for (var block = 0u; block < 4u; block++) {
    var message: array<u32, 16>;
    for (var i = 0u; i < 16u; i++) { message[i] = job[16u * block + i]; }
    state = compress(state, message);
  }
  midstate = state;
  atomicStore(&best, ${NOT_FOUND}u);
}

@compute @workgroup_size(${WORKGROUP})
fn search(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let stride = groups.x * ${WORKGROUP}u;
  for (var offset = id.x; offset < job[${JOB.count}]; offset += stride) {
    let low = job[${JOB.nonceLow}] + offset;
    let high = job[${JOB.nonceHigh}] + select(0u, 1u, low < offset);
    // FIPS 180-4 §5.1.1: the 8 bytes that are left, a one, zeros, and the length of 264 bytes in bits.
    let message = array<u32, 16>(high, low, 0x80000000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2112);
    if (meets(compress(midstate, message))) { atomicMin(&best, offset); }
  }
}

fn meets(hash: array<u32, 8>) -> bool {
  if (hash[0] > job[${JOB.target}]) { return false; }
${range(8, (i) => `  if (hash[${i}] != job[${JOB.target + i}]) { return hash[${i}] < job[${JOB.target + i}]; }`)}
  return true;
}

fn rotate(x: u32, bits: u32) -> u32 { return (x >> bits) | (x << (32u - bits)); }
fn bigSigma0(x: u32) -> u32 { return rotate(x, 2u) ^ rotate(x, 13u) ^ rotate(x, 22u); }
fn bigSigma1(x: u32) -> u32 { return rotate(x, 6u) ^ rotate(x, 11u) ^ rotate(x, 25u); }
fn sigma0(x: u32) -> u32 { return rotate(x, 7u) ^ rotate(x, 18u) ^ (x >> 3u); }
fn sigma1(x: u32) -> u32 { return rotate(x, 17u) ^ rotate(x, 19u) ^ (x >> 10u); }

fn compress(state: array<u32, 8>, message: array<u32, 16>) -> array<u32, 8> {
${range(8, (i) => `  var s${i} = state[${i}];`)}
${range(16, (i) => `  var w${i} = message[${i}];`)}
${range(64, round)}
  return array<u32, 8>(${Array.from({ length: 8 }, (_, i) => `state[${i}] + s${i}`).join(', ')});
}
`;

/**
 * One round of §6.2.2, written out, so that all that is indexed stays in registers. Instead of moving a…h by
 * one place, the variables change their parts: after eight rounds each has its own again.
 */
function round(i: number): string {
  const part = (k: number) => `s${(k - i + 64) % 8}`;
  const [a, b, c, d, e, f, g, h] = Array.from({ length: 8 }, (_, k) => part(k));
  const w = (k: number) => `w${(i + k) % 16}`;
  const schedule = i < 16 ? '' : `  ${w(0)} += sigma0(${w(1)}) + ${w(9)} + sigma1(${w(14)});\n`;
  return `${schedule}  ${h} += bigSigma1(${e}) + ((${e} & ${f}) ^ (~${e} & ${g})) + ${K[i]}u + ${w(0)};
  ${d} += ${h};
  ${h} += bigSigma0(${a}) + ((${a} & ${b}) ^ (${a} & ${c}) ^ (${b} & ${c}));`;
}

function range(length: number, line: (i: number) => string): string {
  return Array.from({ length }, (_, i) => line(i)).join('\n');
}
