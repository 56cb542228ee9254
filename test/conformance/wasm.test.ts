import { describeBackend } from '#test/conformance/backend.ts';

describeBackend('wasm');
