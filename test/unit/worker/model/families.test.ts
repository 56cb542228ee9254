import * as tf from '@tensorflow/tfjs';
import { describeModels } from '#test/conformance/model.ts';
import { startBackend } from '#worker/model/backend/start.ts';

describeModels('cpu', () => tf.setBackend('cpu'));
describeModels('wasm', () => startBackend('wasm'));
