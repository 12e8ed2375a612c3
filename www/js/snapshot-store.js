// Snapshots that were made in the page, kept in its own storage, outside of the sandbox.
import manifest from '#manifest';

/** The most that are kept; the oldest goes. */
const MOST = 4;

const NAME = 'python-sandbox';
const SNAPSHOTS = 'snapshots';

/** Another build's cannot be restored. */
const BUILD = manifest.files.map(({ path }) => path).join(' ');

/** @typedef {{ build: string, key: string, at: number, snapshot: Blob }} Kept */

/** @param {string} key @returns {Promise<Blob | undefined>} */
export async function findSnapshot(key) {
  const all = await transact('readonly', (store) => store.getAll());
  return all.find((kept) => kept.build === BUILD && kept.key === key)?.snapshot;
}

/** @param {string} key @param {Blob} snapshot */
export async function keepSnapshot(key, snapshot) {
  const all = await transact('readonly', (store) => store.getAll());
  const others = all.filter((kept) => kept.build === BUILD && kept.key !== key).sort((a, b) => b.at - a.at);
  const kept = { build: BUILD, key, at: Date.now(), snapshot };
  await transact('readwrite', (store) => {
    store.clear();
    for (const one of [kept, ...others.slice(0, MOST - 1)]) store.put(one);
    return store.getAll();
  });
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<Kept[]>} use
 * @returns {Promise<Kept[]>}
 */
function transact(mode, use) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(SNAPSHOTS, { keyPath: ['build', 'key'] });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction(SNAPSHOTS, mode);
      const request = use(transaction.objectStore(SNAPSHOTS));
      transaction.oncomplete = () => {
        database.close();
        resolve(request.result);
      };
      transaction.onabort = () => {
        database.close();
        reject(transaction.error);
      };
    };
  });
}
