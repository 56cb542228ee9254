import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8ToBytes } from '#shared/crypto/bytes.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { DTYPE_BYTES, type Dtype, tensorBytes } from '#shared/weights/dtype.ts';
import {
  headerLength,
  MAX_HEADER_BYTES,
  parseSafetensorsHeader,
  safetensorsHeader,
} from '#shared/weights/safetensors.ts';

const parse = (text: string) => parseSafetensorsHeader(utf8ToBytes(text));
const u64le = (value: bigint) => {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, value, true);
  return out;
};
const A = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
const entry = (name: string, start: number, end: number, dtype = 'F32', shape = `[${(end - start) / 4}]`) =>
  `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${shape},"data_offsets":[${start},${end}]}`;

test('a file of another writer: any order, metadata, blanks at the end', () => {
  const text = `{"b":{"shape":[1,3],"dtype":"F16","data_offsets":[8,14]}, \n"__metadata__":{"format":"pt"},${A}}   `;
  const { entries, metadata, dataBytes } = parse(text);
  assert.deepEqual(entries, [
    { name: 'a', dtype: 'F32', shape: [2], start: 0, end: 8 },
    { name: 'b', dtype: 'F16', shape: [1, 3], start: 8, end: 14 },
  ]);
  assert.deepEqual([...metadata], [['format', 'pt']]);
  assert.equal(dataBytes, 14);
  assert.deepEqual(parse(`{"s":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}`).entries[0]?.shape, []);
  assert.equal(parse(`  \t\r\n{${A}}`).dataBytes, 8);
});

test('WEIGHTS_TRUNCATED: fewer than 8 bytes', () => {
  for (let n = 0; n < 8; n++)
    assert.throws(() => headerLength(new Uint8Array(n)), { code: 'WEIGHTS_TRUNCATED' }, `${n} bytes`);
});

test('WEIGHTS_HEADER: a length over the cap, beyond 2⁵³, or too short for an object', () => {
  for (const bad of [
    0n,
    1n,
    BigInt(MAX_HEADER_BYTES) + 1n,
    2n ** 32n,
    2n ** 53n + 1n,
    2n ** 56n,
    2n ** 64n - 1n,
  ])
    assert.throws(() => headerLength(u64le(bad)), { code: 'WEIGHTS_HEADER' }, String(bad));
  assert.equal(headerLength(u64le(2n)), 2);
  assert.equal(headerLength(Uint8Array.of(...u64le(BigInt(MAX_HEADER_BYTES)), 7)), MAX_HEADER_BYTES);
});

const REFUSED: [string, ErrorCode, string][] = [
  ['nothing', 'WEIGHTS_HEADER', ''],
  ['only blanks', 'WEIGHTS_HEADER', '        '],
  ['no object', 'WEIGHTS_HEADER', '[]'],
  ['a text', 'WEIGHTS_HEADER', '"a"'],
  ['no tensor', 'WEIGHTS_HEADER', '{}'],
  ['metadata alone', 'WEIGHTS_HEADER', '{"__metadata__":{}}'],
  ['a cut object', 'WEIGHTS_HEADER', `{${A}`],
  ['a cut text', 'WEIGHTS_HEADER', '{"a'],
  ['a byte order mark', 'WEIGHTS_HEADER', `\ufeff{${A}}`],
  ['two objects', 'WEIGHTS_HEADER', `{${A}}{${A}}`],
  ['a line feed behind', 'WEIGHTS_HEADER', `{${A}}\n`],
  ['zeros behind', 'WEIGHTS_HEADER', `{${A}}\0`],
  ['a comma at the end', 'WEIGHTS_HEADER', `{${A},}`],
  ['a comment', 'WEIGHTS_HEADER', `{/**/${A}}`],
  ['single quotes', 'WEIGHTS_HEADER', `{${A.replaceAll('"', "'")}}`],
  ['a tensor twice', 'WEIGHTS_HEADER', `{${A},${A}}`],
  ['a tensor twice, once escaped', 'WEIGHTS_HEADER', `{${A},${A.replace('"a"', '"\\u0061"')}}`],
  ['metadata twice', 'WEIGHTS_HEADER', `{"__metadata__":{},"__metadata__":{},${A}}`],
  ['a key of metadata twice', 'WEIGHTS_HEADER', `{"__metadata__":{"k":"1","k":"2"},${A}}`],
  ['a field twice', 'WEIGHTS_HEADER', `{${A.replace('}', ',"dtype":"F32"}')}}`],
  ['a fourth field', 'WEIGHTS_HEADER', `{${A.replace('}', ',"x":1}')}}`],
  ['no dtype', 'WEIGHTS_HEADER', '{"a":{"shape":[2],"data_offsets":[0,8]}}'],
  ['metadata of numbers', 'WEIGHTS_HEADER', `{"__metadata__":{"k":1},${A}}`],
  ['metadata that is a list', 'WEIGHTS_HEADER', `{"__metadata__":[],${A}}`],
  ['a tensor that is a list', 'WEIGHTS_HEADER', '{"a":[]}'],
  ['true', 'WEIGHTS_HEADER', '{"a":true}'],
  ['null', 'WEIGHTS_HEADER', '{"a":null}'],
  ['a dtype that is a number', 'WEIGHTS_HEADER', `{${A.replace('"F32"', '32')}}`],
  ['F64', 'WEIGHTS_DTYPE', `{${A.replace('F32', 'F64')}}`],
  ['I8', 'WEIGHTS_DTYPE', `{${A.replace('F32', 'I8')}}`],
  ['F8_E4M3', 'WEIGHTS_DTYPE', `{${A.replace('F32', 'F8_E4M3')}}`],
  ['f32', 'WEIGHTS_DTYPE', `{${A.replace('F32', 'f32')}}`],
  ['a dtype that every object has', 'WEIGHTS_DTYPE', `{${A.replace('F32', 'constructor')}}`],
  ...[
    '4.0',
    '1e1',
    '-0',
    '-1',
    '+2',
    '02',
    '0x2',
    '"2"',
    '9007199254740992',
    '99999999999999999999',
    'NaN',
    '2_0',
    '',
    '٢',
  ].map((n): [string, ErrorCode, string] => [
    `${n || 'nothing'} in a shape`,
    'WEIGHTS_HEADER',
    `{${A.replace('[2]', `[1,${n}]`)}}`,
  ]),
  ...['8.0', '8e0', '"8"', '-8', '08'].map((n): [string, ErrorCode, string] => [
    `${n} as an offset`,
    'WEIGHTS_HEADER',
    `{${A.replace('0,8', `0,${n}`)}}`,
  ]),
  ['-0 as an offset', 'WEIGHTS_HEADER', `{${A.replace('0,8', '-0,8')}}`],
  ['a list within a shape', 'WEIGHTS_HEADER', `{${A.replace('[2]', '[[2]]')}}`],
  ['nine dimensions', 'WEIGHTS_HEADER', `{${A.replace('[2]', '[2,1,1,1,1,1,1,1,1]')}}`],
  ['a dimension of zero', 'WEIGHTS_SHAPE', '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'],
  ['a shape whose product overflows', 'WEIGHTS_SHAPE', `{${A.replace('[2]', '[4294967296,4294967296]')}}`],
  [
    'a shape beyond all numbers',
    'WEIGHTS_SHAPE',
    `{${A.replace('[2]', `[${new Array(8).fill('9007199254740991')}]`)}}`,
  ],
  ['one offset', 'WEIGHTS_HEADER', `{${A.replace('0,8', '8')}}`],
  ['three offsets', 'WEIGHTS_HEADER', `{${A.replace('0,8', '0,8,8')}}`],
  ['offsets turned round', 'WEIGHTS_HEADER', `{${A.replace('0,8', '8,0')}}`],
  ['fewer bytes than the shape has', 'WEIGHTS_HEADER', `{${A.replace('0,8', '0,7')}}`],
  ['more bytes than the shape has', 'WEIGHTS_HEADER', `{${A.replace('0,8', '0,9')}}`],
  ['F32 bytes for F16', 'WEIGHTS_HEADER', `{${A.replace('F32', 'F16')}}`],
  ['a first byte that is not 0', 'WEIGHTS_HEADER', `{${A.replace('0,8', '8,16')}}`],
  ['an overlap', 'WEIGHTS_HEADER', `{${entry('a', 0, 8)},${entry('b', 4, 12)}}`],
  ['a hole', 'WEIGHTS_HEADER', `{${entry('a', 0, 8)},${entry('b', 12, 20)}}`],
  ['the same bytes twice', 'WEIGHTS_HEADER', `{${entry('a', 0, 8)},${entry('b', 0, 8)}}`],
  ['an empty name', 'WEIGHTS_HEADER', `{${entry('', 0, 8)}}`],
  ['a name of 513 bytes', 'WEIGHTS_HEADER', `{${entry(`${'ü'.repeat(256)}x`, 0, 8)}}`],
  ['half a surrogate pair as a name', 'WEIGHTS_HEADER', `{"\\ud800":${A.slice(4)}}`],
  ['a line feed in a name', 'WEIGHTS_HEADER', `{"a\nb":${A.slice(4)}}`],
  ['an unknown escape', 'WEIGHTS_HEADER', `{"\\x61":${A.slice(4)}}`],
];
for (const [what, code, text] of REFUSED) {
  test(`${code}: ${what}`, () => {
    assert.throws(() => parse(text), { code });
  });
}

test('WEIGHTS_HEADER: bytes that are not UTF-8', () => {
  for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xc0, 0x80]]) {
    const text = utf8ToBytes(`{${A}}`);
    const bad = Uint8Array.of(...text.subarray(0, 2), ...bytes, ...text.subarray(2));
    assert.throws(() => parseSafetensorsHeader(bad), { code: 'WEIGHTS_HEADER' });
  }
});

test('names that every object has are names like others', () => {
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', '0', '1'];
  const { entries } = parse(`{${names.map((name, i) => entry(name, i * 8, i * 8 + 8)).join()}}`);
  assert.deepEqual(
    entries.map(({ name }) => name),
    names,
  );
  assert.equal(({} as { dtype?: string }).dtype, undefined);
});

const times = (count: number, make: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => make(i)).join();
const filled = (text: string, unit: string) =>
  text.replace('#', unit.repeat(Math.floor((MAX_HEADER_BYTES - 100) / unit.length)));
const HUGE: [string, () => string][] = [
  ['100,000 entries', () => `{${times(100_000, (i) => entry(`t${i}`, i * 8, i * 8 + 8))}}`],
  ['100,000 entries on the same bytes', () => `{${times(100_000, (i) => entry(`t${i}`, 0, 8))}}`],
  ['as many empty keys as fit', () => filled('{#', '"":0,')],
  ['as many short keys as fit', () => `{${times(700_000, (i) => `"${i.toString(36)}":0`)}}`],
  ['a shape of four million numbers', () => filled(`{${A.replace('[2]', '[#1]')}}`, '1,')],
  ['four million escapes', () => filled(`{"#":${A.slice(4)}}`, '\\n')],
  ['a text without end', () => filled('{"#', 'a')],
  ['escapes without end', () => filled('{"#', '\\"')],
  ['a million lists within lists', () => filled('{"a":#', '[')],
  ['a million objects within objects', () => filled('#', '{"a":')],
  ['blanks', () => filled('#{}', ' ')],
  ['blanks before the end', () => filled(`{${A}}#x`, ' ')],
  ['one number of eight million digits', () => filled(`{${A.replace('[2]', '[#]')}}`, '1')],
];
for (const [what, make] of HUGE) {
  test(`WEIGHTS_HEADER: ${what}, in under a second`, () => {
    const bytes = utf8ToBytes(make());
    const start = performance.now();
    assert.throws(() => parseSafetensorsHeader(bytes.subarray(0, MAX_HEADER_BYTES)), {
      code: 'WEIGHTS_HEADER',
    });
    // Generous: the promise is a second, and a loaded machine is no fault.
    assert.ok(performance.now() - start < 5_000);
  });
}

test('WEIGHTS_HEADER: a claim of ten million entries is refused by the length of its header', () => {
  const shortest = 10_000_000 * '"":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'.length;
  assert.throws(() => headerLength(u64le(BigInt(shortest))), { code: 'WEIGHTS_HEADER' });
});

const dtypes = fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[]));
const shapes = fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 3 });
const names = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
  fc.constantFrom('__proto__', 'constructor', '0', '10', 'a"b', 'a\\', '\u0000', 'ü', '\u{1f600}'),
);
const tensorLists = fc.uniqueArray(fc.record({ name: names, dtype: dtypes, shape: shapes }), {
  minLength: 1,
  maxLength: 12,
  selector: ({ name }) => name,
});

test('property: what is written is read, aligned, gapless and in name order', () => {
  fc.assert(
    fc.property(tensorLists, fc.dictionary(fc.string(), fc.string()), (tensors, metadata) => {
      const { header, order, totalBytes } = safetensorsHeader(tensors, metadata);
      assert.equal(header.length % 8, 0);
      assert.equal(headerLength(header), header.length - 8);
      const read = parseSafetensorsHeader(header.subarray(8));
      assert.deepEqual(
        read.entries.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
        order.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
      );
      assert.equal(header.length + read.dataBytes, totalBytes);
      assert.deepEqual(new Map(Object.entries(metadata)), read.metadata);
      assert.deepEqual(new Set(order.map(({ name }) => name)), new Set(tensors.map(({ name }) => name)));
    }),
  );
});

test('property: arbitrary bytes and changed headers are refused with a code, or have no holes', () => {
  const { header } = safetensorsHeader([
    { name: 'a', dtype: 'F32', shape: [2, 3] },
    { name: 'b', dtype: 'BF16', shape: [5] },
  ]);
  const check = (bytes: Uint8Array) => {
    try {
      const { entries, dataBytes } = parseSafetensorsHeader(bytes);
      assert.equal(
        entries.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0),
        dataBytes,
      );
    } catch (error) {
      assert.match(String((error as { code?: string }).code), /^WEIGHTS_(HEADER|DTYPE|SHAPE)$/);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), check));
  fc.assert(
    fc.property(fc.nat(header.length - 9), fc.nat(255), (at, to) => {
      const bad = header.slice(8);
      bad[at] = to;
      check(bad);
    }),
    { numRuns: 2000 },
  );
});

test('WEIGHTS_NAMES: one name twice, or that of the metadata, is not written', () => {
  const tensor = { name: 'a', dtype: 'F32', shape: [1] } as const;
  assert.throws(() => safetensorsHeader([tensor, { ...tensor, shape: [2] }]), { code: 'WEIGHTS_NAMES' });
  assert.throws(() => safetensorsHeader([{ ...tensor, name: '__metadata__' }]), { code: 'WEIGHTS_NAMES' });
});
