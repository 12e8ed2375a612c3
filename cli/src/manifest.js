// The package.json of this package.
import { readFileSync } from 'node:fs';

/** @type {{ name: string, version: string, dependencies: { workerd: string } }} */
export const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
