/**
 * Every refusal of the pool: a stable code, the HTTP status it maps to, and what it means.
 * Codes are part of the public API: they are never renamed nor reused.
 */
export const ERRORS = {
  // Requests
  BAD_REQUEST: [400, 'The request does not have the expected form.'],
  UNAUTHORISED: [401, 'The key or token is not known here.'],
  NOT_FOUND: [404, 'There is nothing at this address.'],
  METHOD_NOT_ALLOWED: [405, 'This address exists, but not for this method.'],
  TIMEOUT: [408, 'The request was not finished in time.'],
  TOO_LARGE: [413, 'The body is larger than allowed.'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'The content type is not one this address takes.'],
  RANGE_NOT_SATISFIABLE: [416, 'The range lies outside the payload.'],
  TOO_MANY_REQUESTS: [429, 'More than the limit for this key or address: wait, then try again.'],
  INTERNAL: [500, 'A fault of ours. The log of the coordinator has the details.'],
  UNAVAILABLE: [503, 'A part that this needs is not there right now: try again.'],
  NO_WORKER: [503, 'No worker is attached that could do this.'],
  // Weights
  WEIGHTS_HEADER: [400, 'The safetensors header is not valid.'],
  WEIGHTS_TRUNCATED: [400, 'The stream ended before its last byte.'],
  WEIGHTS_DTYPE: [422, 'The dtype is not one the pool takes (F32, F16, BF16), or not the one of the head.'],
  WEIGHTS_NAMES: [422, 'The tensor names are not those of the model.'],
  WEIGHTS_SHAPE: [422, 'A tensor does not have the shape the model asks for.'],
  WEIGHTS_NOT_FINITE: [422, 'A weight is NaN or infinite.'],
  WEIGHTS_UNCHANGED: [422, 'Every tensor equals the one at the head.'],
  WEIGHTS_HASH: [422, 'The bytes do not have the hash that was signed.'],
  CONFIG_UNSUPPORTED: [422, 'The model configuration is not one the pool can build.'],
  TOKENIZER: [422, 'The tokenizer is not valid.'],
  CHAT_TEMPLATE: [422, 'The chat template cannot be used with these messages.'],
  CHECKPOINT: [422, 'A file of the checkpoint is missing, damaged or of a kind that cannot be read.'],
  HUB: [502, 'The model hub refused, broke off, or sent something else than it announced.'],
  // Submissions
  SIGNATURE: [422, 'The signature is not the one valid form over this message by this key.'],
  SUBMISSION_META: [409, 'The submission was made for another Meta block.'],
  SUBMISSION_BASE: [409, 'The submission was trained from a model root the pool does not know.'],
  PAYLOAD_KNOWN: [409, 'A tensor with this payload is already on the chain.'],
  QUEUE_FULL: [503, 'Too many submissions are waiting: try again later.'],
  STATE: [409, 'The submission is not in a state that allows this.'],
  // Verdicts
  GATE_NOT_BETTER: [422, 'The loss did not fall by the margin of the gate.'],
  LOSS_NOT_FINITE: [422, 'The loss of the candidate is not finite.'],
  EVALUATION_CRASHED: [422, 'The evaluation ended abnormally on every attempt.'],
  ATTESTATION: [422, 'The worker’s result does not have the expected form.'],
  // Workers
  PROTOCOL_VERSION: [426, 'The worker speaks another version of the protocol.'],
  MESSAGE: [400, 'The message is not one of the protocol.'],
  LEASE_UNKNOWN: [409, 'The lease is not, or no longer, held by this worker.'],
  WORK_STALE: [409, 'The work unit belongs to a template that is no longer mined.'],
  WORK_LOW: [422, 'The hash does not meet the target of the lease.'],
  SHARE_DUPLICATE: [409, 'A share with this hash was credited before.'],
  WORK_RANGE: [422, 'The nonce lies outside the leased range.'],
  BANNED: [403, 'This worker broke the rules too often and is shut out for a while.'],
  // Blocks
  BLOCK_ENCODING: [422, 'The bytes are not a block of this format.'],
  BLOCK_HASH: [422, 'The hash does not meet the target, or is not the one expected.'],
  BLOCK_LINK: [422, 'The block does not follow the one before it.'],
  BLOCK_BODY: [422, 'The body is not the one the header names, or breaks a rule.'],
  BLOCK_PAYLOAD: [422, 'The payload is not the one the header names.'],
  BLOCK_ROOT: [422, 'The model root does not follow from the tensors.'],
  BLOCK_CERTIFICATE: [422, 'The certificate does not prove what the block claims.'],
  META_CHANGE: [422, 'A later Meta block may not change this.'],
  // Wallet
  KEYSTORE: [400, 'The file is not a keystore of a known form.'],
  PASSWORD: [400, 'The password does not open the keystore.'],
  MNEMONIC: [400, 'The words are not a mnemonic.'],
  // Ledger
  ADDRESS: [400, 'The address is not valid.'],
  AMOUNT: [400, 'The amount is not a whole number of base units in range.'],
  ADJUSTMENT: [400, 'The adjustment is not one that can be made.'],
  TRANSFER_FORM: [400, 'The transfer is not one that can be made.'],
  TRANSFER_NONCE: [409, 'The nonce of the transfer is used, or transfers before it are missing.'],
  TRANSFER_EXPIRED: [409, 'The transfer has expired.'],
  FUNDS: [409, 'The balance of the account does not cover the amount.'],
  JOURNAL: [500, 'The journal does not add up.'],
  PROOF: [422, 'The file does not prove what it claims.'],
  // Store and process
  STORE_CORRUPT: [500, 'The store is damaged.'],
  STORE_LOCKED: [500, 'Another process uses the data folder.'],
  STORE_VERSION: [500, 'The data folder was written by another version.'],
  STORE_IO: [500, 'The data folder cannot be read or written.'],
  OPTION: [400, 'An option or environment variable is not valid.'],
  BACKEND: [500, 'The compute backend cannot be used.'],
  MEMORY_BUDGET: [507, 'The memory budget is too small for one layer of the model.'],
  REDIS: [503, 'Redis is not there, or not set up as the pool needs it.'],
  UNSAFE_KEYS: [400, 'The fixed keys of the development network protect nothing.'],
} as const satisfies Record<string, readonly [status: number, meaning: string]>;

export type ErrorCode = keyof typeof ERRORS;
