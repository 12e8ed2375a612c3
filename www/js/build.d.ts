// Modules that the build provides to the page's scripts, see xtask/page/build.mjs.

declare module '#manifest' {
  const manifest: {
    /** Name of the frame's document. */
    frame: string;
    /** The files that a sandbox is made of, compressed. */
    files: { name: string; path: string; bytes: number; sha256: string }[];
    /** The scripts that draw values, compressed: `www/js/drawing`. */
    drawing: Record<'texts' | 'vega' | 'plotly', { path: string; bytes: number; sha256: string }>;
  };
  export default manifest;
}

declare module '#sources' {
  const sources: {
    /** The package index; empty if the build found none. */
    index: string;
  };
  export default sources;
}

declare module '#python-sources' {
  const sources: Record<string, string>;
  export default sources;
}

declare module '#core' {
  const init: (options: { module_or_path: WebAssembly.Module }) => Promise<unknown>;
  export default init;
  /** Its own types: `www/src`. */
  export class Core {
    constructor(host: object, options: object);
    eval(code: string, globals: object, options: object): Promise<import('./index.js').Result & { session?: string }>;
    read(uri: string, at: number): Promise<import('./sandbox.js').Piece>;
    connect(send: (message: string) => void): { receive(message: string): void; close(): void };
    close(): void;
    free(): void;
  }
}

declare module '#runtime/pyodide.mjs' {
  export const loadPyodide: (options: object) => Promise<unknown>;
}

declare module '#runtime/pyodide.asm.mjs' {
  const createPyodideModule: (settings: object) => Promise<unknown>;
  export default createPyodideModule;
}

declare module '#symbols' {
  const symbols: string;
  export default symbols;
}

declare module '#kdf' {
  /** WebAssembly, in base64. */
  const kdf: string;
  export default kdf;
}

declare module '#katex.css' {
  /** With its fonts. */
  const css: string;
  export default css;
}

declare module 'plotly.js-strict-dist-min' {
  const Plotly: { newPlot(element: object, data: object[], layout: object, config: object): Promise<unknown> };
  export default Plotly;
}

declare module '*.css' {
  const text: string;
  export default text;
}
