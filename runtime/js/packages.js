// Mounts packages: their files as one read-only tree, read straight from their archives, and their native libraries,
// which are compiled already.
//
// An archive is a length (4 bytes, little endian), a header of that length, and the bytes of the files. The header
// is JSON: `{"files": [[path, offset, length], ...]}`, offsets counted from the end of the header.

/** Where packages are mounted; it is on `sys.path`. */
export const PACKAGES = '/lib/python3.14/packages';

/**
 * @typedef {object} Package
 * @property {string} name normalized (PEP 503)
 * @property {string} version
 * @property {ArrayBuffer} archive every file but the libraries
 * @property {[path: string, library: WebAssembly.Module][]} modules native libraries, by their paths in site-packages
 */

/** A folder of the tree has entries by name, a file has its bytes. @typedef {Map<string, Entry>} Folder @typedef {Folder | Uint8Array} Entry */

const DIRECTORY = 0o40555;
const FILE = 0o100444;

/** Emscripten's errno numbers. */
const EACCES = 2;
const EINVAL = 28;
const ENOENT = 44;

/** The content of a library's file, which only has to be there: CPython checks that before it opens the library. */
const LIBRARY = Uint8Array.of(0, 0x61, 0x73, 0x6d);

/**
 * Mounts the files of packages and offers their libraries. Where two have the same file, the first one's is kept.
 * @param {any} module Emscripten's, just instantiated
 * @param {Package[]} packages
 */
export function mountPackages(module, packages) {
  /** @type {Folder} */
  const root = new Map();
  module.libraries = new Map();
  /** Bytes of the archives. */
  module.archived = packages.reduce((sum, { archive }) => sum + archive.byteLength, 0);
  for (const { archive, modules } of packages) {
    for (const [path, bytes] of filesOf(archive)) place(root, path, bytes);
    for (const [path, library] of modules) {
      place(root, path, LIBRARY);
      module.libraries.set(`${PACKAGES}/${path}`, library);
    }
  }
  mountTree(module.FS, root, PACKAGES);
}

/** Mounts the files of archives as a read-only tree. @param {any} FS @param {ArrayBuffer[]} archives @param {string} at */
export function mountArchives(FS, archives, at) {
  /** @type {Folder} */
  const root = new Map();
  for (const archive of archives) for (const [path, bytes] of filesOf(archive)) place(root, path, bytes);
  mountTree(FS, root, at);
}

/** @param {any} FS @param {Folder} root @param {string} at */
function mountTree(FS, root, at) {
  FS.mkdirTree(at);
  FS.mount(fileSystem(FS, root), {}, at);
}

/**
 * Mounts further packages in a running interpreter. Imported modules stay.
 * @param {any} module @param {Package[]} packages all of them
 */
export function remountPackages(module, packages) {
  module.FS.unmount(PACKAGES);
  mountPackages(module, packages);
}

/** The files of an archive, by their paths. @param {ArrayBuffer} archive @returns {Iterable<[string, Uint8Array]>} */
export function* filesOf(archive) {
  const start = 4 + new DataView(archive).getUint32(0, true);
  const { files } = JSON.parse(new TextDecoder().decode(new Uint8Array(archive, 4, start - 4)));
  for (const [path, offset, length] of files) yield [path, new Uint8Array(archive, start + offset, length)];
}

/** @param {Folder} root @param {string} path @param {Uint8Array} bytes */
function place(root, path, bytes) {
  const folders = path.split('/');
  const name = folders.pop() ?? '';
  let folder = root;
  for (const part of folders) {
    const next = folder.get(part) ?? new Map();
    if (!(next instanceof Map)) return; // a file of another package has the folder's name
    folder.set(part, next);
    folder = next;
  }
  if (!folder.has(name)) folder.set(name, bytes);
}

/** A file system of Emscripten. @param {any} FS @param {Folder} root */
function fileSystem(FS, root) {
  const refuse = (/** @type {number} */ errno) => {
    throw new FS.ErrnoError(errno);
  };
  // Made once: most of the names that an import tries are missing.
  const missing = new FS.ErrnoError(ENOENT);
  /** @param {any} parent @param {string} name @param {Entry} entry */
  const createNode = (parent, name, entry) => {
    const node = FS.createNode(parent, name, entry instanceof Map ? DIRECTORY : FILE, 0);
    return Object.assign(node, { entry, node_ops, stream_ops });
  };
  const when = new Date();
  const node_ops = {
    /** @param {any} node */
    getattr: ({ id, mode, entry }) => ({
      dev: 1,
      ino: id,
      mode,
      nlink: 1,
      uid: 0,
      gid: 0,
      rdev: 0,
      size: entry instanceof Map ? 4096 : entry.length,
      atime: when,
      mtime: when,
      ctime: when,
      blksize: 4096,
      blocks: Math.ceil((entry.length ?? 0) / 512),
    }),
    /** @param {any} parent @param {string} name */
    lookup: (parent, name) => {
      const entry = parent.entry.get(name);
      if (!entry) throw missing;
      return createNode(parent, name, entry);
    },
    /** @param {any} node */
    readdir: (node) => ['.', '..', ...node.entry.keys()],
  };
  const stream_ops = {
    /** @param {any} stream */
    open: ({ flags }) => (flags & 0o3) === 0 || refuse(EACCES),
    /** @param {any} stream @param {Uint8Array} buffer @param {number} offset @param {number} length @param {number} position */
    read: ({ node }, buffer, offset, length, position) => {
      const bytes = node.entry.subarray(position, position + length);
      buffer.set(bytes, offset);
      return bytes.length;
    },
    /** @param {any} stream @param {number} offset @param {number} whence from the start, here or the end */
    llseek: (stream, offset, whence) => {
      const position = offset + [0, stream.position, stream.node.entry.length][whence];
      return position < 0 ? refuse(EINVAL) : position;
    },
  };
  return { mount: () => createNode(null, '/', root) };
}
