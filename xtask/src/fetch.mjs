// Fetches an address, by Node's fetch, which knows the machine's certificates. Prints the body; ends with status 3 and
// the response's status on stderr if that is not 200, and with 4 if the body is too long.
//
// usage: node fetch.mjs URL MAX_BYTES [ACCEPT]
const [url, limit, accept] = process.argv.slice(2);
const response = await fetch(url, { headers: accept ? { accept } : {}, signal: AbortSignal.timeout(120_000) }).catch(
  (error) => {
    console.error(`${error.cause ?? error}`);
    process.exit(1);
  },
);
if (response.status !== 200) {
  console.error(response.status);
  process.exit(3);
}
let length = 0;
for await (const chunk of response.body ?? []) {
  length += chunk.length;
  if (length > Number(limit)) process.exit(4);
  process.stdout.write(chunk);
}
