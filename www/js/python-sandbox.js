// The entry of the custom element: everything of the library, and `<python-sandbox>`.
import { PythonSandbox } from './element/element.js';

export * from './code-sandbox.js';
export { PythonSandbox };

if (!customElements.get('python-sandbox')) customElements.define('python-sandbox', PythonSandbox);
