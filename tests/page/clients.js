// In the page: the official TypeScript clients, bundled by the test.
export { Client as Client2 } from '@modelcontextprotocol/client';
export { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
export { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
