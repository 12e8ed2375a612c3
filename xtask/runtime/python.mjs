// Our own Python in an isolate.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../runtime/python', import.meta.url));

/** The program that compiles a wheel: a run like any other, see src/packages/bytecode.rs. */
const COMPILER = 'compile.py';

/** The modules of the package `_sandbox`: sources by their names. @type {Record<string, string>} */
export const PYTHON = { __init__: '' };
for (const file of readdirSync(folder).sort())
  if (file.endsWith('.py') && file !== COMPILER)
    PYTHON[basename(file, '.py')] = readFileSync(join(folder, file), 'utf8');
