// Encodes texts with a stranger's tokenizer. Plain JavaScript, since a worker thread does not inherit the TypeScript
// loader; what it computes with is shared/text.
import { parentPort, workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
const { Tokenizer } = await import('../../shared/text/tokenizer.ts');
const { encodeDocuments } = await import('../../shared/text/documents.ts');

try {
  const { tokenizerJson, tokenizerConfigJson, texts } = workerData;
  const tokenizer = Tokenizer.fromJson(tokenizerJson, tokenizerConfigJson);
  const tokens = texts.map((documents) => encodeDocuments(tokenizer, documents));
  parentPort.postMessage({ result: { vocabSize: tokenizer.vocabSize, tokens } });
} catch (error) {
  parentPort.postMessage(
    error.name === 'PoolError' ? { refusal: error.toObject() } : { failure: String(error?.message ?? error) },
  );
}
