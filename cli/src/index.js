// Library use: `import { codeSandbox } from 'mcp-run-python'`.
export {};
