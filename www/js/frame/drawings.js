// Draws values: each in a worker of its own, which is then ended.

/** How long one may take, in milliseconds. */
const LIMIT = 20_000;

/** The most characters of what is drawn, and its greatest height in pixels. */
const MAX_MARKUP = 8 * 1024 * 1024;
const MAX_HEIGHT = 2000;

/**
 * **Boundary.** The worker belongs to the value, as an interpreter does to its program: nothing is taken from it but one
 * text and one number, both bounded, and it ends by itself or is ended.
 * @param {string} source JavaScript of the worker @param {string} type @param {string} text
 * @returns {Promise<{ markup: string, height: number }>}
 */
export async function draw(source, type, text) {
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const worker = new Worker(url, { name: 'drawing' });
  let timer;
  try {
    const data = await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`it took longer than ${LIMIT / 1000} s`)), LIMIT);
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      worker.postMessage({ type, text });
    });
    const { markup, height, failed } = data ?? {};
    if (typeof failed === 'string') throw new Error(failed.slice(0, 1000));
    const isDrawn = typeof markup === 'string' && markup.length <= MAX_MARKUP && typeof height === 'number';
    if (!isDrawn) throw new Error('what was drawn is too large');
    return { markup, height: Math.min(Math.max(height || 0, 32), MAX_HEIGHT) };
  } finally {
    clearTimeout(timer);
    worker.terminate();
    URL.revokeObjectURL(url);
  }
}
