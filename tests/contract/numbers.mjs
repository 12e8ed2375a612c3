// Values through `codeSandbox()`, in every home: programs with their global variables, and the values that come back without
// `numbers: 'exact'` and with it.

const BIG = 2n ** 70n;

/** @type {{ code: string, globals?: Record<string, any>, usual: any, exact: any }[]} */
export const VALUES = [
  { code: '1 + 1', usual: 2, exact: 2n },
  { code: '3.0', usual: 3, exact: 3 },
  { code: '2**53 - 1, 1 - 2**53', usual: [2 ** 53 - 1, 1 - 2 ** 53], exact: [2n ** 53n - 1n, 1n - 2n ** 53n] },
  { code: '2**53', usual: 2n ** 53n, exact: 2n ** 53n },
  { code: '-2**53 - 1', usual: -(2n ** 53n) - 1n, exact: -(2n ** 53n) - 1n },
  { code: '2**63, 2**64', usual: [2n ** 63n, 2n ** 64n], exact: [2n ** 63n, 2n ** 64n] },
  {
    code: '{"a": [2**70, 1, 0.1, None, True, "1"], "": 1e22}',
    usual: { a: [BIG, 1, 0.1, null, true, '1'], '': 1e22 },
    exact: { a: [BIG, 1n, 0.1, null, true, '1'], '': 1e22 },
  },
  { code: '-0.0, 5e-324, 0.1 + 0.2', usual: [-0, 5e-324, 0.1 + 0.2], exact: [-0, 5e-324, 0.1 + 0.2] },
  {
    code: '2**70, float("inf"), float("nan")',
    usual: [BIG, 'Infinity', 'NaN'],
    exact: [BIG, 'Infinity', 'NaN'],
  },
  { code: '10**99_999', usual: 10n ** 99_999n, exact: 10n ** 99_999n },
  { code: '10**100_000', usual: `1${'0'.repeat(100_000)}`, exact: `1${'0'.repeat(100_000)}` },
  {
    code: '[f"{type(x).__name__} {x}" for x in [*a, b["c"]]]',
    globals: { a: [BIG, 1n, 1, 1.5, -(2n ** 63n), '1'], b: { c: 7n } },
    usual: [`int ${BIG}`, 'int 1', 'int 1', 'float 1.5', `int ${-(2n ** 63n)}`, 'str 1', 'int 7'],
    exact: [`int ${BIG}`, 'int 1', 'int 1', 'float 1.5', `int ${-(2n ** 63n)}`, 'str 1', 'int 7'],
  },
];
