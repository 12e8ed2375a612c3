// Written by the core's tests, from src/run/protocol.rs and src/limits.rs.

/** The limits of a run where nobody sets them. @type {import('./protocol.js').Limits} */
export const LIMITS = {
  time: 60000,
  grace: 1000,
  fuel: 200000000,
  memory: 1073741824,
  budget: null,
  output: 2097152,
  lines: 20000,
  line: 65536,
  value: 2097152,
  images: 8,
  imageBytes: 1048576,
  displays: 64,
  displayBytes: 262144,
  displayAll: 1048576,
  tableRows: 30,
  tableColumns: 20,
  depth: 255,
  files: 10000,
  fileBytes: 67108864,
  filesTold: 100,
  embedBytes: 262144,
  embedAll: 2097152,
  keptBytes: 67108864,
  partBytes: 786432,
};
