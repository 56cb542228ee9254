import { describeBackend } from '#test/conformance/backend.ts';

/* A test file of its own process: webgpu.test.ts starts it with a Vulkan driver in its environment. */

describeBackend('webgpu');
