import { describeBackend } from '#test/conformance/backend.ts';
import { describeKernels } from '#test/conformance/kernels.ts';
import { startBackend } from '#worker/model/backend/start.ts';

/* A test file of its own process: webgpu.test.ts starts it with a Vulkan driver in its environment. */

describeBackend('webgpu');
describeKernels('webgpu', () => startBackend('webgpu'));
