// Source: resource.Quantity of Kubernetes, with decimal, binary and exponent suffixes.
const decimals: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binaries = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const pattern = /^\+?(?<whole>\d*)(?:\.(?<fraction>\d*))?(?<suffix>[a-zA-Z]{0,2}|[eE][+-]?\d{1,2})$/;
const maxLength = 64;

const nanoExponent = 9;

/**
 * Parses a quantity into billionths, rounded up. Undefined for negative ones, and for what Kubernetes would
 * reject.
 */
export function parseQuantity(text: string): bigint | undefined {
  const groups = text.length <= maxLength ? pattern.exec(text)?.groups : undefined;
  const { whole = '', fraction = '', suffix = '' } = groups ?? {};
  if (groups === undefined || whole + fraction === '') return undefined;
  const scale = scaleOf(suffix);
  if (scale === undefined) return undefined;
  const exponent = nanoExponent + scale.decimal - fraction.length;
  const digits = BigInt(whole + fraction) * scale.factor;
  return exponent >= 0 ? digits * 10n ** BigInt(exponent) : dividedUp(digits, 10n ** BigInt(-exponent));
}

function scaleOf(suffix: string): { readonly decimal: number; readonly factor: bigint } | undefined {
  if (Object.hasOwn(decimals, suffix)) return { decimal: decimals[suffix] ?? 0, factor: 1n };
  const binary = binaries.indexOf(suffix);
  if (binary >= 0) return { decimal: 0, factor: 1024n ** BigInt(binary + 1) };
  return /^[eE][+-]?\d+$/.test(suffix) ? { decimal: Number(suffix.slice(1)), factor: 1n } : undefined;
}

/** Formats billionths as a quantity, rounded up to thousandths. */
export function formatQuantity(nano: bigint): string {
  const milli = dividedUp(nano, 1_000_000n);
  if (milli % 1000n !== 0n) return `${milli}m`;
  const whole = milli / 1000n;
  return whole > 0n && whole % 1_048_576n === 0n ? `${whole / 1_048_576n}Mi` : String(whole);
}

const dividedUp = (value: bigint, by: bigint): bigint => (value + by - 1n) / by;
