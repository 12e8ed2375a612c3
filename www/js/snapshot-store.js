// Keeps snapshots that were made in the page in the page's own storage, outside of the sandbox.
import manifest from '#manifest';

/** The most that are kept; the oldest goes. */
const MOST = 4;

/** How long the storage may take for anything, in milliseconds: another tab may hold it. */
const LIMIT = 20_000;

const NAME = 'python-sandbox';
const SNAPSHOTS = 'snapshots';
const KEYS = 'keys';

/** Part of the key, as the snapshot of another build cannot be restored. */
const BUILD = manifest.files.map(({ sha256 }) => sha256).join(' ');

/** @typedef {{ build: string, key: string, at: number, snapshot: Blob, seal: ArrayBuffer }} Kept */

/**
 * **Boundary.** The folder of the frame that made a snapshot is part of its key: the frame of another folder may be a
 * stranger's. It may keep what it likes, and get it back, but the page's own sandboxes must not start from that.
 * @param {string} folder where the frame's document is from
 */
const buildOf = (folder) => `${folder} ${BUILD}`;

/**
 * @param {string} key the sha256 of each of its wheels
 * @param {string} folder where the frame's document is from
 * @returns {Promise<Blob | undefined>}
 */
export async function findSnapshot(key, folder) {
  const build = buildOf(folder);
  const kept = await transact('readonly', SNAPSHOTS, (store) => store.get([build, key]));
  if (!kept) return undefined;
  // **Boundary.** An interpreter starts only from what was kept for these wheels, and not from what somebody put in its place
  // or kept for others. A blob never changes: it starts from the bytes that are read here.
  const bytes = await kept.snapshot.arrayBuffer();
  const sealed = await sealing(build, key, bytes);
  if (await crypto.subtle.verify('HMAC', await sealKey(), kept.seal, sealed)) return kept.snapshot;
  await transact('readwrite', SNAPSHOTS, (store) => store.delete([build, key]));
  return undefined;
}

/**
 * The keys of all kept snapshots; `findSnapshot` checks whether each is what was kept.
 * @param {string} folder where the frame's document is from
 * @returns {Promise<string[]>}
 */
export async function keptSnapshots(folder) {
  const keys = /** @type {[string, string][]} */ (await transact('readonly', SNAPSHOTS, (store) => store.getAllKeys()));
  return keys.filter(([build]) => build === buildOf(folder)).map(([, key]) => key);
}

/** @param {string} key @param {Blob} snapshot @param {string} folder where the frame's document is from */
export async function keepSnapshot(key, snapshot, folder) {
  const build = buildOf(folder);
  const sealed = await sealing(build, key, await snapshot.arrayBuffer());
  const seal = await crypto.subtle.sign('HMAC', await sealKey(), sealed);
  const kept = { build, key, at: Date.now(), snapshot, seal };
  const all = /** @type {Kept[]} */ (await transact('readonly', SNAPSHOTS, (store) => store.getAll()));
  const others = all
    .filter((other) => other.build.endsWith(BUILD) && !(other.build === build && other.key === key))
    .sort((a, b) => b.at - a.at);
  await transact('readwrite', SNAPSHOTS, (store) => {
    store.clear();
    for (const one of others.slice(0, MOST - 1)) store.put(one);
    return store.put(kept);
  });
}

/**
 * The bytes that a seal signs: all that a snapshot is kept under, and its hash.
 * @param {string} build @param {string} key @param {ArrayBuffer} bytes
 */
async function sealing(build, key, bytes) {
  // Only a page that was loaded safely can hash; elsewhere nothing is kept.
  if (!crypto.subtle) throw new Error('this page keeps no snapshots: it was not loaded by TLS');
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const label = new TextEncoder().encode(`${build}\n${key}\n`);
  const sealed = new Uint8Array(label.length + hash.length);
  sealed.set(label);
  sealed.set(hash, label.length);
  return sealed;
}

/** This origin's own key: it can be used here, but not read. @returns {Promise<CryptoKey>} */
async function sealKey() {
  const found = await transact('readonly', KEYS, (store) => store.get('seal'));
  if (found) return found;
  const made = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
  // If another tab was quicker, this is refused, and that tab's key is taken.
  await transact('readwrite', KEYS, (store) => store.add(made, 'seal')).catch(() => {});
  return transact('readonly', KEYS, (store) => store.get('seal'));
}

/** Whether an older build in another tab holds the storage: later requests to open it would wait without any event. */
let isHeld = false;
const HELD = 'another tab holds the storage of this page';

/**
 * @param {IDBTransactionMode} mode @param {string} name
 * @param {(store: IDBObjectStore) => IDBRequest} use
 * @returns {Promise<any>}
 */
function transact(mode, name, use) {
  return new Promise((resolve, reject) => {
    if (isHeld) throw new Error(HELD);
    const timer = setTimeout(() => reject(new Error('the storage of this page does not answer')), LIMIT);
    const opening = indexedDB.open(NAME, 2);
    opening.onupgradeneeded = () => {
      const database = opening.result;
      for (const old of database.objectStoreNames) database.deleteObjectStore(old);
      database.createObjectStore(SNAPSHOTS, { keyPath: ['build', 'key'] });
      database.createObjectStore(KEYS);
    };
    opening.onerror = () => {
      isHeld = false;
      clearTimeout(timer);
      reject(opening.error);
    };
    // A tab with an older build holds it: no snapshot is worth the wait.
    opening.onblocked = () => {
      isHeld = true;
      clearTimeout(timer);
      reject(new Error(HELD));
    };
    opening.onsuccess = () => {
      isHeld = false;
      const database = opening.result;
      // Makes way for another tab that has a newer build.
      database.onversionchange = () => database.close();
      const transaction = database.transaction(name, mode);
      const request = use(transaction.objectStore(name));
      transaction.oncomplete = () => {
        clearTimeout(timer);
        database.close();
        resolve(request.result);
      };
      transaction.onabort = () => {
        clearTimeout(timer);
        database.close();
        reject(transaction.error);
      };
    };
  });
}
